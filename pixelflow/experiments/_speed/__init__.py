"""The parts of the experiment `speed`: works, contenders, and how each of them is timed."""
