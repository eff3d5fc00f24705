"""Data and problems that a reservoir is tried on: `mnist`, `eikonal`, `synthetic`."""
