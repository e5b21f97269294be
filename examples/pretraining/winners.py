"""A layer that the language does not have: of the neurons at a position, only those that respond most go on."""

import jax
import jax.numpy as jnp

from lnet import plugin


@plugin.register
class Winners(plugin.PerPosition):
    """The responses of the `count` neurons at a position that respond most, either way; zero for the others

    Example: winners(2)
    """

    kind = "winners"
    count: plugin.Count = 1

    def value(self, x):
        strength = jax.lax.stop_gradient(jnp.abs(x))
        strongest = jax.lax.top_k(jnp.moveaxis(strength, 2, -1), self.count)[0]
        return jnp.where(strength >= jnp.moveaxis(strongest[..., -1:], -1, 2), x, 0)
