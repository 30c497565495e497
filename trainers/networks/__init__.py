"""Networks built from decoded genotypes, exact to the parameter."""
