"""What runs several stages: a whole run, sweeps, the cross-task matrix."""
