"""THE REGISTRY: one line a parameterisation, imported when first asked for.

The flag's choices, the laws, the certificates, the benchmarks and the tables of the docs all read it.
"""

REGISTRY: dict[str, str] = {
    "cayley": "stiefel.parameterisations.cayley:Cayley",
    "dense_exponential": "stiefel.parameterisations.dense_exponential:DenseExponential",
    "exponential": "stiefel.parameterisations.exponential:Exponential",
    "exponential_euclidean": "stiefel.parameterisations.exponential_euclidean:ExponentialEuclidean",
    "givens": "stiefel.parameterisations.givens:Givens",
    "householder": "stiefel.parameterisations.householder:Householder",
    "landing": "stiefel.parameterisations.landing:Landing",
    "polar": "stiefel.parameterisations.polar:Polar",
    "qr": "stiefel.parameterisations.qr:QR",
    "riemannian": "stiefel.parameterisations.riemannian:Riemannian",
}
