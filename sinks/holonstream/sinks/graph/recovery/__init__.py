"""What operators do while workers run: compare, repair, redrive, rebuild."""
