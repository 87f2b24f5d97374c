"""What maintainers run in a checkout, and users do not get: landing weights, and the pictures of the pages."""
