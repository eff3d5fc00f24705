"""A small section of the config for any classification that has banks and baselines."""

from pixelflow.experiments import fashion_mnist


def section(experiment, banks, baselines):
    """Of a module of `pixelflow.experiments`."""
    found = {"seed": 3, "subset": 500, "alphas": [1, 100], "image": 0}
    found |= {"banks": banks, "baselines": baselines}
    if experiment is not fashion_mnist:
        found |= {"selection": 60, "models": {}, "figure_steps": [0]}
        found |= {"random_features": {"gammas": [1.0], "seeds": [0, 1]}}
    return found
