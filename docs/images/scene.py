"""Makes the picture of the README: ``python docs/images/scene.py``, then crop the line of figures below it.

What it prints, the scale, the cost and the words, stands in the README (commit de5fae9).
"""

from PIL import Image

import dld_spotter
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.data.synthetic.words import WordSource
from dld_spotter.inference.drawing import draw_reading

words = WordSource(mix={"word": 0.72, "price": 0.12, "number": 0.04, "name": 0.12})
layout = SceneLayout(640, 960, probabilities={"mixed": 1.0}, curved_probability=0.2, board_probability=0.8, rotation=12)
scene = SceneRenderer(17, layout, words=words).render(7)
reading = dld_spotter.load("bundled").read(scene.image, gamma=0.5)
print(reading.scale, reading.relative_cost, [word.text for word in reading.words])
picture: Image.Image = draw_reading(scene.image, reading)
picture.convert("RGB").crop((0, 0, 960, 640)).save("scene.jpg", quality=82, optimize=True)
