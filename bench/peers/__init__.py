"""What else one would use for the same work, each as a good engineer would write it with that tool: one task for each
recipient, which inserts the row by the ORM. All write into the table that Planner writes into, with all its indexes."""
