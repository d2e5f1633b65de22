"""What scripts/bench runs: the link's limit, shunt, its peers and single structures, measured in one run and put side by side."""
