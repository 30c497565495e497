"""EcoNAS: evolution under a hierarchy of proxies (Zhou et al., CVPR 2020, section 4 and Algorithm 1)."""
