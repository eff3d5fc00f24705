"""Data sets and problems for reservoirs.

Data: `mnist`, `fashion_mnist`, `cifar10`. Problems: `eikonal`, `synthetic`.
"""
