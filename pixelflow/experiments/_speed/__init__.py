"""The parts of the experiment `speed`: works, contenders, and the timing of each."""
