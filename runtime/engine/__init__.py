"""A network computed: whole, in tiles, its gradients and updates."""
