"""What the command-line programs share: arguments, jobs, progress bars, one-line error messages."""
