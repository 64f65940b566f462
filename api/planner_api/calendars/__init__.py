"""iCalendar files (RFC 5545): what is in them, as events."""
