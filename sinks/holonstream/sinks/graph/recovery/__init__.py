"""Recovery, while workers run: redrive, repair, rebuild, and the reads that `holonstream verify` compares."""
