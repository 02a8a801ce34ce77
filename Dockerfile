# oidn-jax for NVIDIA GPUs. The CUDA libraries come with jax's wheels, so the host needs its driver only (and the NVIDIA
# container toolkit). For a CPU: docker build --build-arg EXTRA= .
FROM python:3.11-slim

ARG EXTRA=[cuda]
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY configs configs
COPY oidn_jax oidn_jax
RUN pip install --no-cache-dir --constraint constraints.txt ".${EXTRA}" && rm -rf /src

# A cluster runs containers under any user; without a home there is nowhere to keep compiled programs and fonts.
ENV HOME=/tmp JAX_COMPILATION_CACHE_DIR=/tmp/jax_cache
WORKDIR /work
ENTRYPOINT ["oidn-jax"]
CMD ["--help"]
