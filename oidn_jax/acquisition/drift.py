"""Drift of the sample between the orientations: measured from their widefield images, and undone.

The mean of an orientation's frames shows the object, without stripes as far as the phases are even. Two of them have
the cross-spectrum F_a conj F_b = |S H|^2 exp(-2 pi i k.d) for an object that moved by d. Each frequency counts with its
phase alone, so that neither stripes that are left nor a brighter structure decides, and with the share of the signal in
the power of its ring. The maximum of the correlation is found to a pixel and followed by Newton's method. Its
covariance is that of the slope, from the imaginary parts of what each frequency contributes (sandwich estimator), so
that noise and stripes enlarge it as they are.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real

from oidn_jax.classical.spectra import tukey
from oidn_jax.optics.fourier import fft2, frequencies, frequency_radius, ifft2

SAID_FROM = 0.3  # pixels
_WITHIN = 12  # pixels that are searched
_CERTAIN = 6.0  # height of a peak over the scatter of the correlation
_ERRORS = 4.0
_ROUNDS, _NEWTON = 2, 8
_WINDOW = 0.15  # of the side: what leaves at one edge must not come in at the other
_LEAST_SIGNAL = 0.2
_PAD = 16


@dataclass(frozen=True)
class Drift:
    """By how much the object lies further down and right than in the middle orientation.

    Attributes:
        shift: (orientations, 2), y and x in raw pixels; 0 where none is certain.
        error: (orientations, 2), standard errors; infinite where nothing shows.
    """

    shift: Float[np.ndarray, "orientations 2"]
    error: Float[np.ndarray, "orientations 2"]

    @property
    def largest(self) -> float:
        """Pixels between any two orientations."""
        return float(np.hypot(*(self.shift[:, None] - self.shift[None]).T).max())

    def __str__(self) -> str:
        return ", ".join(f"({y:.1f}, {x:.1f})" for y, x in self.shift + 0.0)


def measure_drift(light: Real[np.ndarray, "frames h w"], *, orientations: int, cutoff: float) -> Drift:
    """The drift of each orientation against the middle one; what is below 4 of its errors counts as none.

    Args:
        light: frames without the camera's defects (an offset does not matter), orientation slow and phase fast.
        orientations: number of illumination directions.
        cutoff: of the OTF, cycles per raw pixel.
    """
    means = light.reshape(orientations, -1, *light.shape[1:]).mean(1, dtype=np.float64)
    shift, error = np.zeros((orientations, 2)), np.zeros((orientations, 2))
    middle = orientations // 2
    for i in range(orientations):
        if i != middle:
            lies, covariance = _between(means[i], means[middle], cutoff)
            error[i] = np.sqrt(np.diag(covariance))
            if np.isfinite(error[i]).all() and lies @ np.linalg.solve(covariance, lies) > _ERRORS**2:
                shift[i] = lies
    return Drift(shift, error)


def undo_drift(frames: Real[np.ndarray, "frames h w"], drift: Drift) -> Float[np.ndarray, "frames h w"]:
    """Frames moved onto the middle orientation, by the phases of their Fourier series continued as in a mirror."""
    moved = frames.astype(np.float32).reshape(len(drift.shift), -1, *frames.shape[1:])
    for i, shift in enumerate(drift.shift):
        if shift.any():
            moved[i] = [_moved(frame, -shift) for frame in moved[i]]
    return moved.reshape(frames.shape)


def _between(
    image: Float[np.ndarray, "h w"], reference: Float[np.ndarray, "h w"], cutoff: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 2"]]:
    """How far an image lies from another, and the covariance of that."""
    nothing = np.zeros(2), np.full((2, 2), np.inf)
    shift, covariance = nothing
    # The window, which stays where it is, pulls the peak towards zero; so what is left is found once more.
    for _ in range(_ROUNDS):
        left = _peak(_moved(image, -shift), reference, cutoff)
        if left is None:
            return nothing
        shift, covariance = shift + left[0], left[1]
    return shift, covariance


def _peak(
    image: Float[np.ndarray, "h w"], reference: Float[np.ndarray, "h w"], cutoff: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 2"]] | None:
    size = image.shape
    window = tukey((size[0], size[1]), width=_WINDOW)
    radius = frequency_radius(size[0], size[1])
    ring = np.rint(radius * max(size)).astype(int)
    used = (radius > 0) & (radius < min(cutoff, 0.5))
    outside = radius > min(1.08 * cutoff, 0.6)
    spectra, signal = [], 1.0
    for picture in (image, reference):
        faded = (picture - np.average(picture, weights=window)) * window
        spectrum = np.asarray(fft2(jnp.asarray(faded, jnp.float32)), np.complex128)
        power = np.abs(spectrum) ** 2
        noise = np.exp(np.log(np.maximum(power[outside], 1e-30)).mean() + np.euler_gamma)
        level = np.bincount(ring.ravel(), power.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
        signal = signal * np.maximum(1.0 - noise / np.maximum(level[ring], 1e-30), 0.0)
        spectra.append(spectrum / np.maximum(np.abs(spectrum), 1e-30))
    used &= signal > _LEAST_SIGNAL**2
    cross = np.where(used, signal, 0.0) * spectra[0] * np.conj(spectra[1])
    correlation = np.asarray(ifft2(jnp.asarray(cross, jnp.complex64)).real)
    within = min(_WITHIN, min(size) // 4)
    away = [np.rint(frequencies(n) * n).astype(int) for n in size]
    near = (np.abs(away[0]) <= within)[:, None] & (np.abs(away[1]) <= within)[None]
    highest = int(np.argmax(np.where(near, correlation, -np.inf)))
    if not correlation.ravel()[highest] > _CERTAIN * correlation[~near].std():
        return None
    shift = np.array([away[0][highest // size[1]], away[1][highest % size[1]]], float)
    cross, wave = cross[used], 2j * np.pi * np.stack(np.meshgrid(*map(frequencies, size), indexing="ij"), -1)[used]
    for _ in range(_NEWTON):
        turned = cross * np.exp(wave @ shift)
        slope, curvature = (turned @ wave).real, (wave.T @ (turned[:, None] * wave)).real
        shift = shift - np.clip(np.linalg.solve(curvature, slope), -0.5, 0.5)
    turned = cross * np.exp(wave @ shift)
    curvature = np.linalg.inv((wave.T @ (turned[:, None] * wave)).real)
    scatter = (wave.T @ (turned.imag[:, None] ** 2 * wave)).real
    # The window makes neighbouring frequencies alike, and the spectrum of a real image holds each of them twice.
    alike = 2.0 * np.mean(window**4) / np.mean(window**2) ** 2
    return shift, -alike * curvature @ scatter @ curvature


def _moved(image: Real[np.ndarray, "h w"], shift: Float[np.ndarray, "2"]) -> Float[np.ndarray, "h w"]:
    """An image moved by (y, x) pixels down and right."""
    if not shift.any():
        return image
    pad = [min(_PAD, n - 1) for n in image.shape]
    padded = np.pad(image, [(p, p) for p in pad], mode="symmetric")
    ky, kx = (frequencies(n) for n in padded.shape)
    turn = np.exp(-2j * np.pi * (ky[:, None] * shift[0] + kx[None] * shift[1]))
    moved = np.asarray(ifft2(fft2(jnp.asarray(padded, jnp.float32)) * jnp.asarray(turn, jnp.complex64)).real)
    return moved[pad[0] : pad[0] + image.shape[0], pad[1] : pad[1] + image.shape[1]].astype(image.dtype)
