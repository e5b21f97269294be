"""Two layers that the language does not have: divisive normalisation, and a smooth rectifier."""

import jax
import jax.numpy as jnp

from lnet import plugin


@plugin.register
class Divisive(plugin.ReceptiveField):
    """`x^2 / (sigma^2 + mean(x^2))`, the mean over all maps in a window of `field` (Heeger 1992)

    Example: divisive(5, sigma = 0.1)
    """

    kind = "divisive"
    field: plugin.Extent
    sigma: plugin.Positive = 0.1
    pad = plugin.Padding("same")

    def value(self, x, inside):
        window = (self.field.rows, self.field.columns, 1, 1)
        energy = jnp.mean(x**2, axis=2, keepdims=True)
        total, count = (
            jax.lax.reduce_window(a, 0.0, jax.lax.add, window, (1, 1, 1, 1), "VALID")
            for a in (energy, inside)
        )
        own = self.fields(x)[:, :, self.field.rows // 2, self.field.columns // 2]
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
