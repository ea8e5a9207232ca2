"""Live state: reading what TMS shows of customers, and comparing it with what was asked for."""
