"""What a plan will do on a described cluster: seconds of a step, images a second, what limits them."""
