"""When people are busy: asked for, and used to find when all of them are not."""
