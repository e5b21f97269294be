"""Two layers that the language does not have: divisive normalisation, and a smooth rectifier."""

import jax
import jax.numpy as jnp

from lnet import plugin


@plugin.register
class Divisive(plugin.Neighbourhood):
    """`x^2 / (sigma^2 + mean(x^2))`, the mean over all maps in a window of `field` (Heeger 1992)

    Example: divisive(5, sigma = 0.1)
    """

    kind = "divisive"
    field: plugin.Extent
    sigma: plugin.Positive = 0.1

    @property
    def reach(self):
        return plugin.Size(self.field.rows // 2, self.field.columns // 2)

    def value(self, x, inside):
        window = (2 * self.reach.rows + 1, 2 * self.reach.columns + 1, 1, 1)
        energy = jnp.mean(x**2, axis=2, keepdims=True)
        total, count = (
            jax.lax.reduce_window(a, 0.0, jax.lax.add, window, (1, 1, 1, 1), "VALID")
            for a in (energy, inside)
        )
        rows, columns = self.reach.rows, self.reach.columns
        own = x[rows : x.shape[0] - rows, columns : x.shape[1] - columns]
        return own**2 / (self.sigma**2 + total / count)


@plugin.register
class Mish(plugin.PerPosition):
    """`x * tanh(sharpness * log(1 + exp(x)))` (Misra 2019, with `sharpness = 1`)

    Example: mish(sharpness = 2)
    """

    kind = "mish"
    sharpness: plugin.Positive = 1.0

    def value(self, x):
        return x * jnp.tanh(self.sharpness * jax.nn.softplus(x))
