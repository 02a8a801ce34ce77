"""The report as a file (escaped, self-contained, the same bytes again) and, in headless Chromium, as a page to use."""

import base64
import hashlib
import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.mouse_button import MouseButton
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from oidn_jax.errors import InputError
from oidn_jax.evaluation.example import Example
from oidn_jax.evaluation.html import Figure, Page, Table, write_report
from oidn_jax.evaluation.html.images import grey_png_uri, to_grey
from oidn_jax.evaluation.html.sections import viewer_data
from oidn_jax.figures.images import stretch

PIXEL_SIZE_NM = 32.5
SIDE = 64
METHODS = ("widefield", "wiener", "oidn", "target")
CAPTION = "Mean scores over the held-out scenes, each image matched to its target"
NASTY = "</script><script>alert('x')</script> & \"quoted\" <b>"


def example(specimen="f_actin", level="low", scene=0, *, methods=METHODS, shape=(SIDE, SIDE)):
    seed = sum(map(ord, f"{specimen}{level}{scene}"))
    images = np.random.default_rng(seed).gamma(1.0, size=(len(methods), *shape)).astype(np.float32)
    return Example(specimen, level, scene, 1, PIXEL_SIZE_NM, dict(zip(methods, images, strict=True)))


EXAMPLES = [
    example("f_actin", "low", 0),
    example("f_actin", "low", 1),
    example("f_actin", "high", 0),
    example("ccp", "low", 7, methods=("widefield", "oidn", "target")),
]


def save_png(path, *, width=30, height=20):
    Image.fromarray(np.arange(width * height, dtype=np.uint8).reshape(height, width)).save(path)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with every kind of content, its table wider than a phone."""
    folder = tmp_path_factory.mktemp("figures")
    return Page(
        title="Evaluation of oidn",
        summary=["The first paragraph.", "The second paragraph."],
        tables=[
            Table(
                CAPTION,
                ["Level", "Method", *(f"Score number {number} (dB)" for number in range(8))],
                [
                    ["low", "wiener", *(f"{20 + number}.5" for number in range(8))],
                    ["low", "oidn", *(f"{30 + number}.5" for number in range(8))],
                    ["high", "oidn", *(f"{40 + number}.5" for number in range(8))],
                ],
                row_headers=2,
                best=frozenset({(1, 2), (1, 9)}),
                note="A remark.",
            ),
            Table("Tests", ["Method", "Verdict"], [["oidn", "better"]]),
        ],
        figures=[
            Figure(save_png(folder / "a.png"), "Scores", "PSNR rises with the signal."),
            Figure(save_png(folder / "b.png", width=2000), "Spread", "Boxes of the scores."),
        ],
        examples=EXAMPLES,
        provenance={
            "command": "evaluate.py --config=" + "x" * 120,
            "seed": 3,
            "nothing": None,
            "config": {"optics": {"na": 1.4, "periods_nm": [210.0, 200.0]}, "crops": [[0, 8], [8, 16]]},
        },
    )


EMPTY = Page("Nothing", [], [], [], [], {})


# ---------------------------------------------------------------------------------------------------------------------
# The file
# ---------------------------------------------------------------------------------------------------------------------


class Element:
    """An element with its attributes, its parent, and the text inside it."""

    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent, self.text = tag, attributes, parent, ""

    def __getitem__(self, name):
        return self.attributes[name]


class Document(HTMLParser):
    """The elements of a page in their order; complains of tags that do not match."""

    VOID = ("meta", "link", "img", "input")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        element = Element(tag, dict(attrs), self.open[-1] if self.open else None)
        self.elements.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, tag, **attributes):
        wanted = attributes.items()
        return [
            e for e in self.elements if e.tag == tag and all(e.attributes.get(name) == value for name, value in wanted)
        ]

    def one(self, tag, **attributes):
        (element,) = self.all(tag, **attributes)
        return element


def written(folder, page):
    write_report(folder / "report.html", page)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory, page):
    return written(tmp_path_factory.mktemp("report"), page)


@pytest.fixture(scope="module")
def document(text):
    return Document(text)


def test_landmarks_headings_and_what_points_at_them(document):
    assert document.one("html")["lang"] == "en"
    assert document.one("title").text == document.one("h1").text == "Evaluation of oidn"
    for landmark in ("header", "nav", "main", "footer"):
        document.one(landmark)
    headings = [e.text for e in document.all("h2")]
    assert headings == ["Summary", "Tables", "Images", "Figures", "Provenance"]
    assert [e.tag for e in document.elements if re.fullmatch("h[1-6]", e.tag)] == ["h1"] + ["h2"] * 5
    assert document.all("a")[0]["href"] == "#" + document.one("main")["id"], "the first link skips to the main part"
    counted = Counter(e["id"] for e in document.elements if "id" in e.attributes)
    assert set(counted.values()) == {1}
    targets = {e["href"].removeprefix("#") for e in document.all("a")}
    for name in ("aria-labelledby", "aria-describedby"):
        targets |= {target for e in document.elements for target in (e.attributes.get(name) or "").split()}
    assert {"main", "summary", "tables", "images", "figures", "provenance"} < targets
    assert targets <= set(counted)


def test_text_is_shown_as_text_whatever_it_contains(tmp_path):
    path = save_png(tmp_path / "a.png")
    page = Page(
        NASTY,
        [NASTY],
        [Table(NASTY, [NASTY, "x"], [[NASTY, "1"]], note=NASTY)],
        [Figure(path, NASTY, NASTY)],
        [replace(example(methods=(NASTY, "target")), specimen=NASTY, level=NASTY)],
        {NASTY: {NASTY: [NASTY, {NASTY: NASTY}]}, "x": NASTY},
    )
    document = Document(written(tmp_path, page))
    assert [e.attributes.get("type") for e in document.all("script")] == ["application/json", None]
    assert document.all("b") == [e for e in document.all("b") if e.text in ("Table 1.", "Figure 1.")]
    assert document.one("title").text == document.one("h1").text == NASTY
    assert document.all("p")[1].text == NASTY
    assert document.one("caption").text == f"Table 1. {NASTY}"
    assert document.one("th", scope="row").text == document.all("th", scope="col")[0].text == NASTY
    assert document.one("img")["alt"] == NASTY
    assert document.one("figcaption").text == f"Figure 1. {NASTY}. {NASTY}"
    assert document.all("summary")[-2].text == NASTY
    assert [e.text for e in document.all("dt")] == ["x", NASTY, NASTY]
    assert document.all("dd")[0].text == NASTY
    (shown,) = json.loads(document.all("script")[0].text)
    assert shown["specimen"] == shown["level"] == shown["images"][0][0] == NASTY
    assert json.loads(document.one("pre").text) == page.provenance


def test_every_figure_is_embedded_as_it_is(document, page):
    images = document.all("img")
    assert [e["alt"] for e in images] == [figure.description for figure in page.figures]
    for element, figure in zip(images, page.figures, strict=True):
        kind, content = element["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content) == figure.path.read_bytes()
    assert [(e["width"], e["height"]) for e in images] == [("30", "20"), ("2000", "20")]
    captions = [e.text for e in document.all("figcaption")]
    assert captions == ["Figure 1. Scores. PSNR rises with the signal.", "Figure 2. Spread. Boxes of the scores."]


def test_a_figure_that_is_no_png_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff" + bytes(40))
    with pytest.raises(InputError, match=r"a\.jpg is not a PNG"):
        write_report(tmp_path / "report.html", replace(EMPTY, figures=[Figure(path, "", "")]))
    assert [file.name for file in tmp_path.iterdir()] == ["a.jpg"]


def test_tables_have_captions_headers_with_a_scope_and_marks_for_the_best(document, page):
    assert [e.text for e in document.all("caption")] == [f"Table 1. {CAPTION}", "Table 2. Tests"]
    assert [e.text for e in document.all("th", scope="col")] == [name for table in page.tables for name in table.header]
    assert [e.text for e in document.all("th", scope="row")] == ["low", "wiener", "low", "oidn", "high", "oidn", "oidn"]
    assert len(document.all("td")) == 3 * 8 + 1
    best = [e.parent for e in document.all("strong")]
    assert [e.text for e in best] == ["30.5 (best)", "37.5 (best)"], "for the ear as for the eye"
    assert document.one("p", id="table-1-note").text == "A remark. Best values are bold and underlined."
    described = [e.attributes.get("aria-describedby") for e in document.all("table")]
    assert described == ["table-1-note", None]


def test_numbers_are_aligned_and_words_are_not(tmp_path):
    rows = [["oidn", "−1.5 ± 0.2", "< 0.001", "ok"], ["wiener", "–", "0.3", "2 of 3"]]
    document = Document(written(tmp_path, replace(EMPTY, tables=[Table("", ["a", "b", "c", "d"], rows)])))
    assert [e.attributes.get("class") for e in document.all("td")] == ["number", "number", None] * 2
    assert [e.attributes.get("class") for e in document.all("th", scope="col")] == [None, "number", "number", None]


def test_a_row_as_long_as_the_header_is_required(tmp_path):
    table = Table("Scores", ["a", "b"], [["1", "2"], ["3"]])
    with pytest.raises(ValueError, match="'Scores': 1 cells in a row, 2 in the header"):
        write_report(tmp_path / "report.html", replace(EMPTY, tables=[table]))


def test_provenance_as_nested_lists_and_as_json(document, page):
    values = {e.text: document.elements[document.elements.index(e) + 1].text for e in document.all("dt")}
    assert values["seed"] == "3"
    assert values["nothing"] == "none"
    assert values["na"] == "1.4"
    assert values["periods_nm"] == "210.0, 200.0"
    assert [e.text for e in document.all("li")][-2:] == ["0, 8", "8, 16"]
    nested = next(e for e in document.all("dt") if e.text == "na")
    assert [e.tag for e in ancestors(nested)][:6] == ["div", "dl", "dd", "div", "dl", "details"]
    assert json.loads(document.one("pre").text) == page.provenance


def ancestors(element):
    while element.parent:
        element = element.parent
        yield element


def test_values_that_json_does_not_know_are_shown_as_text(tmp_path):
    document = Document(written(tmp_path, replace(EMPTY, provenance={"path": Path("a/b"), "type": np.float32(0.5)})))
    assert [e.text for e in document.all("dd")] == ["a/b", "0.5"]
    assert json.loads(document.one("pre").text) == {"path": "a/b", "type": "0.5"}


def test_the_file_needs_nothing_else(text, document):
    for element in document.elements:
        for name in ("src", "href"):
            if name in element.attributes:
                assert re.match("data:|#", element[name]), element[name][:50]
        assert not {"srcset", "action", "formaction", "poster", "style", "onclick"} & set(element.attributes)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(|import\(|fetch\(|XMLHttpRequest", text)


def test_the_policy_allows_the_style_and_the_script_of_the_page_and_no_other(document):
    policy = document.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    rules = dict(rule.split(" ", 1) for rule in policy["content"].split("; "))
    script = document.all("script")[-1].text
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": hashed(document.one("style").text),
        "script-src": hashed(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # What would end the element early, or put the parser into another state.
    assert not re.search(r"</script|<!--|<script", script)


def hashed(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_a_section_with_nothing_in_it_is_left_out(tmp_path, page):
    document = Document(written(tmp_path, EMPTY))
    for tag in ("section", "h2", "table", "img", "script", "noscript", "select"):
        assert not document.all(tag)
    assert "script-src" not in document.all("meta")[1]["content"]
    document = Document(written(tmp_path, replace(page, examples=[])))
    assert [e["href"] for e in document.all("a")[1:]] == ["#summary", "#tables", "#figures", "#provenance"]
    assert not document.all("script")


def test_the_same_page_gives_the_same_bytes(tmp_path, page, text):
    assert written(tmp_path, page) == text


# --- Images ---


def test_grey_goes_through_the_stretch_of_all_figures():
    image = np.random.default_rng(0).random((64, 64))
    image[3, 3], image[4, 4:7] = 1e6, (np.nan, -np.inf, np.inf)
    low, high = stretch(image)
    assert high < 1.01, "one outlier does not darken an image"
    expected = 255 * np.clip((image[8:] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(to_grey(image)[8:], expected, atol=0.5001)
    assert to_grey(image)[4, 4:7].tolist() == [0, 0, 255]


def test_grey_of_images_without_contrast():
    points = np.zeros((64, 64))
    points[5, 6] = 2.0
    np.testing.assert_array_equal(to_grey(points), 255 * (points > 0))
    for value in (7.0, np.nan, np.inf):
        assert not to_grey(np.full((8, 8), value)).any()


def test_the_data_of_the_viewer():
    given = [example(shape=(20, 30)), replace(example("ccp"), signal_level=4)]
    first, second = json.loads(viewer_data(given))
    assert (first["specimen"], first["level"], first["scene"], first["signalLevel"]) == ("f_actin", "low", 0, 1)
    assert (second["specimen"], second["signalLevel"]) == ("ccp", 4)
    assert (first["width"], first["height"], first["pixelSizeNm"]) == (30, 20, PIXEL_SIZE_NM)
    assert [name for name, _ in first["images"]] == list(METHODS)
    for (_, uri), image in zip(first["images"], given[0].images.values(), strict=True):
        content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), to_grey(image))


def test_the_pair_that_is_shown_first():
    pairs = {METHODS: ["widefield", "oidn"], ("oidn", "target"): ["oidn", "target"], ("target",): ["target", "target"]}
    entries = json.loads(viewer_data([example(methods=methods) for methods in pairs]))
    assert [entry["shown"] for entry in entries] == list(pairs.values())


# --- Colours ---


def colours(scheme):
    style = resources.files("oidn_jax.evaluation.html").joinpath("style.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    named = dict(re.findall(r"--(\w+): (#\w{6});", light))
    return named if scheme == "light" else named | dict(re.findall(r"--(\w+): (#\w{6});", dark))


def contrast(first, second):
    """Of WCAG 2: (brighter + 0.05) / (darker + 0.05), relative luminances of sRGB."""

    def luminance(colour):
        channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    darker, brighter = sorted([luminance(first), luminance(second)])
    return (brighter + 0.05) / (darker + 0.05)


def test_text_and_controls_stand_out_from_what_is_behind_them():
    for scheme in ("light", "dark"):
        colour = colours(scheme)
        for ground in ("paper", "raised", "tint"):
            for ink in ("ink", "quiet", "accent"):
                assert contrast(colour[ink], colour[ground]) >= 4.5, (scheme, ink, ground)
            assert contrast(colour["edge"], colour[ground]) >= 3, (scheme, ground)


# ---------------------------------------------------------------------------------------------------------------------
# The page in a browser
# ---------------------------------------------------------------------------------------------------------------------

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)
# Role and accessible name of each, in the order of the tab key.
CONTROLS = {
    "specimen": ("combobox", "Specimen"),
    "level": ("combobox", "Fluorescence"),
    "scene": ("combobox", "Scene"),
    "before": ("combobox", "Left"),
    "after": ("combobox", "Right"),
    "zoom-out": ("button", "Zoom out"),
    "zoom-in": ("button", "Zoom in"),
    "fit": ("button", "Fit"),
    "brightness": ("slider", "Brightness 1.0×"),
    "stage": ("application", "Images"),
    "split": ("slider", "Divider"),
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    service = shutil.which("chromedriver")
    if browser is None or service is None:
        pytest.skip(f"the report is used in a browser: install one of {', '.join(BROWSERS)}, and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(service))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory, page):
    path = tmp_path_factory.mktemp("offline") / "report.html"
    write_report(path, page)
    return path.as_uri()


class Viewer:
    """The viewer of a page that has just been loaded."""

    def __init__(self, driver):
        self.driver, self.run = driver, driver.execute_script
        self.stage = self.part("stage")
        self.run("document.documentElement.style.scrollBehavior = 'auto'")
        self.run("document.getElementById('images').scrollIntoView(); window.arrived = performance.now()")

    def part(self, name):
        return self.driver.find_element(By.CSS_SELECTOR, f"[data-part={name}]")

    def wait(self, condition):
        WebDriverWait(self.driver, 5, poll_frequency=0.05).until(lambda _: condition())

    def actions(self):
        return ActionChains(self.driver, duration=20)

    def boxes(self, selector):
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.getBoundingClientRect().toJSON())",
            selector,
        )

    def images(self):
        return self.boxes(".pane img")

    def transforms(self):
        return self.run("return [...document.querySelectorAll('.pane img')].map((e) => getComputedStyle(e).transform)")

    def rest(self):
        """A wheel that turns right after the page has scrolled goes on scrolling it: waits until that is over."""
        self.wait(lambda: self.run("return performance.now() - window.arrived > 350"))

    def zoom(self):
        return self.images()[0]["width"] / self.boxes(".pane")[0]["width"]

    def centre(self):
        """Of the first pane, in fractions of the image."""
        image, pane = self.images()[0], self.boxes(".pane")[0]
        return [(pane[a] + pane[s] / 2 - image[a]) / image[s] for a, s in (("x", "width"), ("y", "height"))]

    def split(self):
        """How much of the right image is cut off, in percent, as drawn."""
        clip = self.run("return getComputedStyle(document.querySelector('.pane.after')).clipPath")
        return float(re.fullmatch(r"inset\(0px 0px 0px ([\d.]+)%\)", clip)[1])

    def at(self, fraction):
        """The image at a fraction of the width of the stage, a third from its top."""
        box = self.boxes(".stage")[0]
        script = "return document.elementsFromPoint(...arguments).find((e) => e.tagName === 'IMG').alt"
        return self.run(script, box["x"] + fraction * box["width"], box["y"] + box["height"] / 3)

    def wheel(self, delta, x=0, y=0):
        self.rest()
        x, y = round(x), round(y)
        self.actions().scroll_from_origin(ScrollOrigin.from_element(self.stage, x, y), 0, delta).perform()

    def drag(self, element, start, by):
        start, by = map(round, start), map(round, by)
        self.actions().move_to_element_with_offset(element, *start).click_and_hold().move_by_offset(
            *by
        ).release().perform()

    def choose(self, name, value):
        Select(self.part(name)).select_by_value(value)

    def options(self, name):
        return [option.text for option in Select(self.part(name)).options]

    def mode(self, value):
        self.driver.find_element(By.CSS_SELECTOR, f"[name=mode][value={value}]").click()


@pytest.fixture
def viewer(driver, address):
    driver.get(address)
    return Viewer(driver)


def test_it_opens_from_a_file_without_errors_and_without_the_network(driver, address):
    driver.get("about:blank")
    for log in ("browser", "performance"):
        driver.get_log(log)
    driver.get(address)
    Viewer(driver).choose("specimen", "ccp")
    assert driver.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert requests[0] == address
    assert {url.split(":")[0] for url in requests[1:]} <= {"data"}


def test_what_would_use_the_network_is_blocked(viewer):
    script = """
    const done = arguments[arguments.length - 1], blocked = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      blocked.push(event.effectiveDirective);
      if (blocked.length === 3) done(blocked.sort());
    });
    new Image().src = "http://localhost:9/a.png";
    fetch("http://localhost:9/a").catch(() => {});
    const added = document.createElement("script");
    added.textContent = "window.intruded = true";
    document.body.append(added);
    """
    assert viewer.driver.execute_async_script(script) == ["connect-src", "img-src", "script-src-elem"]
    assert viewer.run("return window.intruded") is None


def test_it_works_without_javascript_but_for_the_viewer(driver, address):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(address)
        note = driver.find_element(By.CSS_SELECTOR, "noscript p")
        assert note.text.startswith("The image viewer needs JavaScript")
        assert not driver.find_element(By.ID, "viewer").is_displayed()
        assert driver.find_element(By.CSS_SELECTOR, "table").is_displayed()
        assert driver.find_element(By.CSS_SELECTOR, "figure img").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_first_and_the_last_method_of_the_first_acquisition_are_shown(viewer):
    images = viewer.driver.find_elements(By.CSS_SELECTOR, ".pane img")
    expected = [EXAMPLES[0].images["widefield"], EXAMPLES[0].images["oidn"]]
    assert [image.get_property("src") for image in images] == [grey_png_uri(image) for image in expected]
    assert [viewer.part(f"{side}-name").text for side in ("before", "after")] == ["widefield", "oidn"]
    alts = [image.get_property("alt") for image in images]
    assert alts == [f"{name}: f_actin, low fluorescence, scene 0" for name in ("widefield", "oidn")]
    assert viewer.run("return [...document.querySelectorAll('.pane img')].every((e) => e.naturalWidth === 64)")


def test_another_acquisition_and_other_methods(viewer):
    def sources():
        return [image.get_property("src") for image in viewer.driver.find_elements(By.CSS_SELECTOR, ".pane img")]

    assert viewer.options("specimen") == ["f_actin", "ccp"]
    assert viewer.options("level") == ["low", "high"]
    assert viewer.options("scene") == ["0", "1"]
    viewer.choose("before", "wiener")
    viewer.choose("after", "target")
    assert sources() == [grey_png_uri(EXAMPLES[0].images[name]) for name in ("wiener", "target")]
    viewer.choose("level", "high")
    assert viewer.options("scene") == ["0"]
    assert sources() == [grey_png_uri(EXAMPLES[2].images[name]) for name in ("wiener", "target")]
    assert viewer.part("before-name").text == "wiener"
    # This one has no wiener; the choice that it has is kept.
    viewer.choose("specimen", "ccp")
    assert [viewer.options(name) for name in ("level", "scene")] == [["low"], ["7"]]
    assert sources() == [grey_png_uri(EXAMPLES[3].images[name]) for name in ("widefield", "target")]
    assert [viewer.part(f"{side}-name").text for side in ("before", "after")] == ["widefield", "target"]


def test_what_is_shown_is_announced(viewer):
    status = viewer.part("status")
    assert status.aria_role == "status"
    viewer.choose("scene", "1")
    viewer.choose("after", "target")
    viewer.part("zoom-in").click()
    expected = (
        "f_actin, low fluorescence (signal level 1), scene 1; left widefield, right target; zoom 1.5×; "
        "64 × 64 pixels of 32.5 nm."
    )
    viewer.wait(lambda: status.text == expected)


def test_the_divider_moves_with_the_keyboard(viewer):
    assert viewer.split() == 50
    assert viewer.part("split").get_attribute("aria-valuetext") == "50 % from the left"
    assert viewer.at(0.45).startswith("widefield")
    assert viewer.at(0.55).startswith("oidn")
    viewer.part("split").send_keys(Keys.ARROW_RIGHT * 10)
    assert viewer.split() == 60
    assert viewer.at(0.55).startswith("widefield")
    viewer.part("split").send_keys(Keys.ARROW_LEFT)
    assert viewer.split() == 59
    assert viewer.part("split").get_attribute("aria-valuetext") == "59 % from the left"
    viewer.part("split").send_keys(Keys.HOME)
    assert viewer.split() == 0


def test_the_divider_moves_with_the_pointer_and_the_images_do_not(viewer):
    viewer.part("zoom-in").click()
    width, before = viewer.boxes(".stage")[0]["width"], viewer.transforms()
    viewer.drag(viewer.part("divider"), (0, 0), (-120, 30))
    assert viewer.split() == pytest.approx(50 - 100 * 120 / width, abs=0.3)
    assert float(viewer.part("split").get_property("value")) == round(viewer.split())
    box = viewer.boxes(".divider")[0]
    assert (box["x"] + box["width"] / 2 - viewer.boxes(".stage")[0]["x"]) == pytest.approx(width / 2 - 120, abs=1)
    assert viewer.transforms() == before
    viewer.drag(viewer.part("divider"), (0, 60), (-width / 2 + 60, 0))
    assert viewer.split() == 0


def test_the_wheel_zooms_about_the_pointer(viewer):
    x, y = 90, -130
    box = viewer.boxes(".stage")[0]
    pointer = [box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y]

    def under_the_pointer():
        image = viewer.images()[0]
        return [(pointer[0] - image["x"]) / image["width"], (pointer[1] - image["y"]) / image["height"]]

    before = under_the_pointer()
    for _ in range(2):
        viewer.wheel(-200, x, y)
    assert viewer.zoom() == pytest.approx(np.exp(0.8), rel=1e-3)
    assert under_the_pointer() == pytest.approx(before, abs=1e-3)
    viewer.wheel(200, x, y)
    assert viewer.zoom() == pytest.approx(np.exp(0.4), rel=1e-3)
    assert under_the_pointer() == pytest.approx(before, abs=1e-3)
    assert viewer.part("zoom").text == "1.5×"


def test_the_wheel_scrolls_the_page_where_there_is_nothing_to_zoom_out_of(viewer):
    before = viewer.run("return scrollY")
    viewer.wheel(60)
    viewer.wait(lambda: viewer.run("return scrollY") > before)
    script = """
    const turn = () => arguments[0].dispatchEvent(new WheelEvent("wheel", { deltaY: -60, cancelable: true }));
    document.dispatchEvent(new Event("scroll"));
    return [turn(), arguments[0].hasAttribute("data-zoomed")];
    """
    assert viewer.run(script, viewer.stage) == [True, False], "nor does it zoom while the page still scrolls"


def test_buttons_and_keys_zoom_and_pan_within_limits(viewer):
    viewer.part("zoom-in").click()
    viewer.stage.send_keys("+")
    assert viewer.zoom() == pytest.approx(2.25, rel=1e-3)
    assert viewer.centre() == pytest.approx([0.5, 0.5], abs=1e-3)
    viewer.stage.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert viewer.centre() == pytest.approx([0.5 + 0.1 / 2.25, 0.5 - 0.1 / 2.25], abs=1e-3)
    viewer.stage.send_keys(Keys.ARROW_LEFT * 2, Keys.ARROW_DOWN)
    assert viewer.centre() == pytest.approx([0.5 - 0.1 / 2.25, 0.5], abs=1e-3)
    viewer.stage.send_keys("-")
    assert viewer.zoom() == pytest.approx(1.5, rel=1e-3)
    viewer.part("fit").click()
    assert viewer.zoom() == pytest.approx(1, rel=1e-3)
    viewer.stage.send_keys(Keys.CONTROL, "+", Keys.NULL)
    assert viewer.zoom() == pytest.approx(1, rel=1e-3), "this is for the browser"
    viewer.stage.send_keys("-" + "+" * 20)
    assert viewer.images()[0]["width"] / SIDE == pytest.approx(32, rel=1e-3)
    viewer.stage.send_keys(Keys.ARROW_RIGHT * 60, Keys.ARROW_DOWN * 60)
    image, pane = viewer.images()[0], viewer.boxes(".pane")[0]
    assert [image["right"], image["bottom"]] == pytest.approx([pane["right"], pane["bottom"]], abs=0.5)
    viewer.stage.send_keys("0")
    assert viewer.zoom() == pytest.approx(1, rel=1e-3)


def test_a_drag_pans_both_images_once_they_are_enlarged(viewer):
    before = viewer.images()
    viewer.drag(viewer.stage, (-150, -150), (40, 25))
    assert viewer.images() == before
    viewer.stage.send_keys("+++")
    before = viewer.images()
    viewer.drag(viewer.stage, (-150, -150), (40, 25))
    for old, new in zip(before, viewer.images(), strict=True):
        assert [new["x"] - old["x"], new["y"] - old["y"]] == pytest.approx([40, 25], abs=0.5)
    # A pointer that leaves the images goes on pulling them, and once let go it does not.
    half, before = viewer.boxes(".stage")[0]["width"] / 2, viewer.images()[0]["x"]
    viewer.drag(viewer.stage, (20 - half, -150), (-60, 0))
    viewer.actions().move_to_element(viewer.stage).perform()
    assert viewer.images()[0]["x"] - before == pytest.approx(-60, abs=0.5)
    for x in (0, -100):  # on the divider and beside it
        other = viewer.actions().move_to_element_with_offset(viewer.stage, x, 0)
        button = other.w3c_actions.pointer_action
        button.pointer_down(button=MouseButton.RIGHT).move_by(30, 0).pointer_up(MouseButton.RIGHT)
        other.perform()
    assert viewer.images()[0]["x"] - before == pytest.approx(-60, abs=0.5)
    assert viewer.split() == 50


def test_side_by_side_both_panes_move_as_one(viewer):
    viewer.mode("side")
    left, right = viewer.boxes(".pane")
    assert left["right"] <= right["left"]
    assert [left["width"], left["top"]] == pytest.approx([right["width"], right["top"]])
    assert not viewer.part("split").is_displayed()
    assert not viewer.part("divider").is_displayed()
    assert viewer.at(0.25).startswith("widefield")
    assert viewer.at(0.75).startswith("oidn")
    names = viewer.boxes(".name")
    assert names[0]["right"] < left["right"] < right["left"] < names[1]["left"]
    viewer.wheel(-200, -left["width"] / 2 - 50, 40)
    viewer.wheel(-200, left["width"] / 2 + 50, -40)
    first, second = viewer.transforms()
    assert first == second
    assert float(re.match(r"matrix\(([\d.]+)", first)[1]) == pytest.approx(np.exp(0.8) * left["width"] / SIDE, rel=1e-3)
    # The point of the second turn, in the right pane, where it was after the first: of both images.
    after = viewer.images()
    pointer = right["x"] + right["width"] / 2 + 50 - 1.5, right["y"] + right["height"] / 2 - 40
    viewer.wheel(-200, left["width"] / 2 + 50, -40)
    for old, new in zip(after[1:], viewer.images()[1:], strict=True):
        for axis, size, place in (("x", "width", pointer[0]), ("y", "height", pointer[1])):
            assert (place - new[axis]) / new[size] == pytest.approx((place - old[axis]) / old[size], abs=2e-3)
    viewer.drag(viewer.stage, (-left["width"] / 2, 0), (-30, 10))
    first, second = viewer.transforms()
    assert first == second
    zoomed = viewer.zoom()
    viewer.mode("slider")
    assert viewer.zoom() == pytest.approx(zoomed, rel=1e-3)
    assert viewer.part("split").is_displayed()


def test_the_position_under_the_pointer_and_its_counterpart(viewer):
    viewer.mode("side")
    viewer.stage.send_keys("++")
    left, right = viewer.boxes(".pane")
    stage = viewer.boxes(".stage")[0]
    x, y = left["width"] - 40, 50.0
    offset = (x - stage["width"] / 2, y - stage["height"] / 2)
    viewer.actions().move_to_element_with_offset(viewer.stage, *map(round, offset)).perform()
    um = [
        (0.5 + (pixel - left[size] / 2) / (left[size] * 2.25)) * SIDE * PIXEL_SIZE_NM / 1000
        for pixel, size in ((x, "width"), (y, "height"))
    ]
    shown = [float(number) for number in re.findall(r"[\d.]+", viewer.part("position").text)]
    assert shown == pytest.approx(um, abs=0.0075)
    crosses = [e for e in viewer.driver.find_elements(By.CSS_SELECTOR, ".cross") if e.is_displayed()]
    assert len(crosses) == 1
    box = viewer.boxes(".cross:not([hidden])")[0]
    assert [box["x"] + 9.5 - right["x"], box["y"] + 9.5 - right["y"]] == pytest.approx([x, y], abs=1.5)
    viewer.actions().move_to_element(viewer.driver.find_element(By.ID, "images-heading")).perform()
    assert viewer.part("position").get_property("textContent") == ""
    assert not viewer.part("position").is_displayed()


def test_the_scale_bar_is_true_at_every_zoom(viewer):
    bar, labels = viewer.part("scale-bar"), []
    for _ in range(4):
        drawn = float(viewer.run("return getComputedStyle(arguments[0], '::after').width", bar).removesuffix("px"))
        number, unit = bar.text.split()
        nm = float(number) * {"nm": 1, "µm": 1000}[unit]
        scale = viewer.images()[0]["width"] / SIDE
        assert drawn / scale * PIXEL_SIZE_NM == pytest.approx(nm, rel=1e-3)
        pane = viewer.boxes(".pane")[0]
        assert pane["width"] / 11 < drawn <= pane["width"] / 4
        labels.append(bar.text)
        viewer.part("zoom-in").click()
    assert labels == ["500 nm", "200 nm", "200 nm", "100 nm"]


def test_a_wide_field_has_black_bars_and_a_scale_in_micrometres(driver, tmp_path):
    wide = replace(example(shape=(16, 512)), pixel_size_nm=65.0)
    write_report(tmp_path / "report.html", replace(EMPTY, examples=[wide]))
    driver.get((tmp_path / "report.html").as_uri())
    viewer = Viewer(driver)
    assert viewer.part("scale-bar").text == "5 µm"
    image, pane = viewer.images()[0], viewer.boxes(".pane")[0]
    assert pane["width"] == pytest.approx(2 * pane["height"])
    assert image["width"] == pytest.approx(pane["width"])
    assert image["width"] / image["height"] == pytest.approx(512 / 16)
    assert image["y"] - pane["y"] == pytest.approx(pane["bottom"] - image["bottom"], abs=0.5)
    above = round(pane["height"] / 2) - 20
    for y, position in ((0, "x "), (-above, "")):
        viewer.actions().move_to_element_with_offset(viewer.stage, 0, y).perform()
        assert viewer.part("position").text[:2] == position


def test_brightness_multiplies_both_images_and_large_pixels_have_edges(viewer):
    viewer.part("brightness").send_keys(Keys.ARROW_RIGHT * 20)
    filters = viewer.run("return [...document.querySelectorAll('.pane img')].map((e) => getComputedStyle(e).filter)")
    assert filters == ["brightness(4)", "brightness(4)"]
    assert viewer.part("brightness").get_attribute("aria-valuetext") == viewer.part("gain").text == "4.0×"
    viewer.stage.send_keys("+++++")
    rendering = "return getComputedStyle(document.querySelector('.pane img')).imageRendering"
    assert viewer.run(rendering) == "pixelated"


def test_two_fingers_zoom_and_one_scrolls_or_pans(viewer):
    def touch(kind, *points):
        named = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        viewer.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": named})

    def touch_action():
        return viewer.stage.value_of_css_property("touch-action")

    assert touch_action() == "pan-y"
    # A browser on a real screen may take two fingers for scrolling, unless told not to.
    script = """
    const finger = (identifier) => new Touch({ identifier, target: arguments[0] });
    const move = (...touches) => new TouchEvent("touchmove", { touches, cancelable: true, bubbles: true });
    return [move(finger(0)), move(finger(0), finger(1))].map((event) => arguments[0].dispatchEvent(event));
    """
    assert viewer.run(script, viewer.stage) == [True, False]
    viewer.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    try:
        box = viewer.boxes(".stage")[0]
        x, y = box["x"] + 150, box["y"] + 200
        # Upright, which the browser would take for scrolling.
        touch("touchStart", (x, y - 30), (x, y + 30))
        for spread in (40, 50, 60):
            touch("touchMove", (x, y - spread), (x, y + spread))
        touch("touchEnd")
        assert viewer.zoom() == pytest.approx(2, rel=1e-2)
        image = viewer.images()[0]
        fixed = [(x - image["x"]) / image["width"], (y - image["y"]) / image["height"]]
        assert fixed == pytest.approx([150 / box["width"], 200 / box["height"]], abs=0.01)
        assert touch_action() == "none"
        touch("touchStart", (x, y))
        for moved in (10, 20, 30):
            touch("touchMove", (x - moved, y - moved))
        touch("touchEnd")
        assert viewer.images()[0]["x"] - image["x"] == pytest.approx(-30, abs=1)
        divider = viewer.boxes(".divider")[0]
        middle = divider["x"] + divider["width"] / 2
        touch("touchStart", (middle, y))
        touch("touchMove", (middle + 60, y))
        touch("touchEnd")
        assert viewer.split() == pytest.approx(50 + 6000 / box["width"], abs=0.3)
    finally:
        viewer.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


@pytest.fixture
def phone(driver, address):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(address)
    yield Viewer(driver)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_phone_never_scrolls_sideways(phone):
    phone.run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    for mode in ("slider", "side"):
        phone.mode(mode)
        assert phone.run("return document.scrollingElement.scrollWidth") == 360
        # Where the layout is wider than the screen, a phone shows all of it, smaller.
        assert phone.run("return [innerWidth, visualViewport.scale]") == [360, 1]
    for selector in (".scroll", "pre", "figure"):
        inner, outer = phone.run(
            "const e = document.querySelector(arguments[0]); return [e.scrollWidth, e.clientWidth]", selector
        )
        assert inner > outer
    for box in phone.boxes("figure, figcaption, .stage, .controls *, caption span, p"):
        assert box["left"] >= 0
        assert box["right"] <= 360
    assert phone.boxes("caption span")[0]["right"] <= phone.boxes(".scroll")[0]["right"]
    left, right = phone.boxes(".pane")
    assert left["width"] > 300
    assert left["bottom"] <= right["top"], "side by side, two panes would be too small: one is below the other"
    assert phone.boxes(".name.after")[0]["top"] >= right["top"]


def test_the_tab_key_reaches_everything_in_order_and_by_name(viewer):
    viewer.run("document.querySelector('a').focus()")  # the first: from the body, browsers start where they last were
    name = """
    const e = document.activeElement;
    return e.dataset.part ?? (e.name || null) ?? (e.getAttribute("href") || e.getAttribute("aria-labelledby")
      || e.getAttribute("aria-label") || e.textContent);
    """
    viewer.actions().send_keys(Keys.TAB).perform()
    seen = []
    while len(seen) < 40 and viewer.run("return document.activeElement !== document.body"):
        seen.append(viewer.run(name))
        outline = viewer.run("const s = getComputedStyle(document.activeElement); return s.outlineStyle")
        assert outline != "none" or seen[-1] == "mode", seen[-1]
        viewer.actions().send_keys(Keys.TAB).perform()
    named = {name: (viewer.part(name).aria_role, viewer.part(name).accessible_name) for name in CONTROLS}
    assert named == CONTROLS
    links = [f"#{section}" for section in ("summary", "tables", "images", "figures", "provenance")]
    controls = list(CONTROLS)
    controls.insert(5, "mode")
    folded = ["Mouse, touch and keyboard", "config", "Everything as JSON"]
    assert seen == [*links, "table-1", "table-2", *controls, *folded]


def test_dark_paper_and_less_motion_when_asked_for(viewer):
    def emulate(media="", **features):
        listed = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        viewer.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": listed})

    def body(name):
        return viewer.driver.find_element(By.TAG_NAME, "body").value_of_css_property(name)

    viewer.run("document.documentElement.style.scrollBehavior = ''")
    scrolling = "return getComputedStyle(document.documentElement).scrollBehavior"
    try:
        emulate(color_scheme="light", reduced_motion="no-preference")
        assert body("background-color") == "rgba(252, 252, 250, 1)"
        assert viewer.run(scrolling) == "smooth"
        emulate(color_scheme="dark", reduced_motion="reduce")
        assert body("background-color") == "rgba(19, 24, 27, 1)"
        assert viewer.run(scrolling) == "auto"
        emulate("print", color_scheme="dark")
        assert body("background-color") == "rgba(255, 255, 255, 1)"
        assert body("color") == "rgba(0, 0, 0, 1)"
        assert not viewer.stage.is_displayed()
        assert viewer.driver.find_element(By.CSS_SELECTOR, "table").is_displayed()
        assert viewer.run("return document.querySelector('#provenance details dt').checkVisibility()")
    finally:
        emulate()
