"""What TMS showed of customers, read by read, beside what was asked of it."""
