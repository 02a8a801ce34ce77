"""Pictures, drawn with matplotlib from plain arrays, numbers and labels.

Figures for print (panels, profiles, decorrelation and rolling FRC, distributions, PSFs, worst cases) are 88 or 180 mm
wide with text of 7 and 8 pt, as PNG at 300 dpi and as PDF whose text is text. Pages for the screen (the panel of a
training run, preview, diagnostics, trust) are one PNG. Figures compute no physics and no scores, and know no method,
specimen or score by name: labels and colours come with the numbers.

`style` has the fonts, the colours and the way into a file, `images` the contrast stretch and the scale bar, `layout`
the page in millimetres. Everything is drawn with matplotlib's objects: no global state or display is involved.
"""
