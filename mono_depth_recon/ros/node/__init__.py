"""recon_node: the managed node between image and cloud."""
