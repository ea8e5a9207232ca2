"""Activity: everything that was asked for, whatever became of it."""
