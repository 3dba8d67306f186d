"""What the programs share: arguments, jobs, progress bars, complaints in one line."""
