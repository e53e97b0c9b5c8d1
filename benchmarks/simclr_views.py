"""SimCLR's views of photographs, each set with one kind of change more."""

from skdeepclust.views import ImageViews

_STILL = {"degrees": 0.0, "shift": 0.0, "scale": 0.0}
_CROP = {**_STILL, "crop": (0.2, 1.0), "flip": True}
_COLOUR = {**_CROP, "jitter": 0.4, "saturation": 0.4, "grey": 0.2}
SIMCLR_VIEWS = {
    "crop and flip": ImageViews(**_CROP),
    "and colour": ImageViews(**_COLOUR),
    "and hue": ImageViews(**_COLOUR, hue=0.1),
    "and blur": ImageViews(**_COLOUR, hue=0.1, blur=0.5),
}
