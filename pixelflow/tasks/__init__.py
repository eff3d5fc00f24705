"""Data and problems that a reservoir is tried on.

Data: `mnist`, `fashion_mnist`, `cifar10`. Problems: `eikonal`, `synthetic`.
"""
