"""What a shader hands to a rule: which nodes, which parameters, whether the noise key."""

from __future__ import annotations

from pixelflow.core.graph import Program


def leaves(program: Program) -> list[int]:
    """The nodes that a shader has ready when it calls the rule."""
    looked_up = ("read", "param", "medium", "convolve")
    return [i for i, node in enumerate(program.nodes) if node[0] in looked_up]


def params_used(program: Program) -> list[int]:
    """The numbers of the parameters that the rule names; a convolution's weights are apart."""
    return sorted({node[1] for node in program.nodes if node[0] == "param"})


def uses(program: Program, leaf: str) -> bool:
    return any(node[0] == leaf for node in program.nodes)
