"use strict";

// The image viewer of a report: two images of one acquisition under a divider or side by side, moved as one.
(() => {
  const MOST_SCREEN_PIXELS = 32; // of one image pixel
  const PIXELATED_FROM = 4; // screen pixels of one image pixel, from which its edges are shown rather than smoothed
  const STEP = 1.5; // of the zoom buttons and keys
  const PAN = 0.1; // of the pane, for each arrow key
  const SCROLLING_MS = 250;
  const SETTLED_MS = 400;

  const examples = JSON.parse(document.getElementById("viewer-data").textContent);
  const root = document.getElementById("viewer");
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  const stage = part("stage");
  const fields = ["specimen", "level", "scene"];
  const sides = ["before", "after"].map((side) => {
    const image = new Image();
    const cross = document.createElement("span");
    image.draggable = false;
    cross.className = "cross";
    cross.hidden = true;
    part(`${side}-pane`).append(image, cross);
    return { image, cross, pane: part(`${side}-pane`), name: part(`${side}-name`), select: part(side) };
  });

  let example = examples[0];
  // The centre is in fractions of the image, so that it stays where it is when the page or the acquisition changes.
  const view = { zoom: 1, x: 0.5, y: 0.5 };
  const pointers = new Map();
  let lastScroll = -Infinity;
  let announcing;

  // --- What is shown ------------------------------------------------------------------------------------------------

  function fill(select, values, fallback) {
    const kept = select.value;
    select.replaceChildren(...values.map((value) => new Option(value, value)));
    select.value = values.includes(kept) ? kept : fallback;
  }

  function chooseAcquisition() {
    let left = examples;
    for (const field of fields) {
      const values = [...new Set(left.map((candidate) => String(candidate[field])))];
      fill(part(field), values, values[0]);
      left = left.filter((candidate) => String(candidate[field]) === part(field).value);
    }
    example = left[0];
    const names = example.images.map(([name]) => name);
    sides.forEach((side, index) => fill(side.select, names, example.shown[index]));
    stage.style.setProperty("--aspect", clamp(example.width / example.height, 0.5, 2));
    showImages();
  }

  function showImages() {
    for (const { image, name, select } of sides) {
      const [, source] = example.images.find(([candidate]) => candidate === select.value);
      image.src = source;
      image.alt = `${select.value}: ${example.specimen}, ${example.level} fluorescence, scene ${example.scene}`;
      name.textContent = select.value;
    }
    render();
  }

  function setSplit(fraction) {
    const percent = 100 * clamp(fraction, 0, 1);
    stage.style.setProperty("--split", `${percent}%`);
    part("split").value = percent;
    part("split").setAttribute("aria-valuetext", `${Math.round(percent)} % from the left`);
  }

  function setMode(mode) {
    stage.dataset.mode = mode;
    part("split-label").hidden = mode !== "slider";
    render();
  }

  function setBrightness() {
    const gain = 2 ** part("brightness").valueAsNumber;
    const text = `${gain.toFixed(1)}×`;
    part("gain").textContent = text;
    part("brightness").setAttribute("aria-valuetext", text);
    for (const { image } of sides) image.style.filter = `brightness(${gain})`;
  }

  // --- Geometry -----------------------------------------------------------------------------------------------------

  function geometry() {
    const { width, height } = sides[0].pane.getBoundingClientRect();
    const fit = Math.min(width / example.width, height / example.height);
    return { width, height, fit, scale: fit * view.zoom };
  }

  function render() {
    const { width, height, scale } = geometry();
    if (!(scale > 0)) return; // not laid out yet, or hidden in print
    const halfX = width / scale / example.width / 2;
    const halfY = height / scale / example.height / 2;
    view.x = halfX >= 0.5 ? 0.5 : clamp(view.x, halfX, 1 - halfX);
    view.y = halfY >= 0.5 ? 0.5 : clamp(view.y, halfY, 1 - halfY);
    const left = width / 2 - view.x * example.width * scale;
    const top = height / 2 - view.y * example.height * scale;
    for (const { image } of sides) {
      image.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
      image.classList.toggle("pixelated", scale >= PIXELATED_FROM);
    }
    stage.toggleAttribute("data-zoomed", view.zoom > 1);
    part("zoom").textContent = `${view.zoom.toFixed(1)}×`;
    drawScaleBar(width, scale);
    announce();
  }

  function drawScaleBar(width, scale) {
    const nmPerScreenPixel = example.pixelSizeNm / scale;
    const longest = (width / 4) * nmPerScreenPixel;
    const decade = 10 ** Math.floor(Math.log10(longest));
    const length = Math.max(...[1, 2, 5].map((step) => step * decade).filter((candidate) => candidate <= longest));
    const bar = part("scale-bar");
    bar.style.setProperty("--length", `${length / nmPerScreenPixel}px`);
    bar.textContent = length < 1000 ? `${Number(length.toPrecision(1))} nm` : `${Number((length / 1000).toPrecision(1))} µm`;
  }

  // Both images move together, so what is said of them is said once, and only when they have come to rest.
  function announce() {
    clearTimeout(announcing);
    announcing = setTimeout(() => {
      const { specimen, level, scene, signalLevel, pixelSizeNm, width, height } = example;
      part("status").textContent =
        `${specimen}, ${level} fluorescence (signal level ${signalLevel}), scene ${scene}; left ${sides[0].select.value}, ` +
        `right ${sides[1].select.value}; zoom ${view.zoom.toFixed(1)}×; ${width} × ${height} pixels of ` +
        `${Number(pixelSizeNm.toPrecision(4))} nm.`;
    }, SETTLED_MS);
  }

  // The image point at (x, y) of the pane stays there.
  function zoomTo(zoom, x, y) {
    const { width, height, fit, scale } = geometry();
    view.zoom = clamp(zoom, 1, Math.max(1, MOST_SCREEN_PIXELS / fit));
    const moved = 1 / scale - 1 / (fit * view.zoom);
    view.x += ((x - width / 2) * moved) / example.width;
    view.y += ((y - height / 2) * moved) / example.height;
    render();
  }

  function zoomAboutCentre(factor) {
    const { width, height } = geometry();
    zoomTo(view.zoom * factor, width / 2, height / 2);
  }

  function panBy(x, y) {
    const { scale } = geometry();
    view.x -= x / scale / example.width;
    view.y -= y / scale / example.height;
    render();
  }

  // --- Pointers -----------------------------------------------------------------------------------------------------

  function inPane(event) {
    const inside = ({ left, right, top, bottom }) =>
      left <= event.clientX && event.clientX <= right && top <= event.clientY && event.clientY <= bottom;
    const rectangles = sides.map(({ pane }) => pane.getBoundingClientRect());
    const index = Math.max(rectangles.findIndex(inside), 0);
    return { index, x: event.clientX - rectangles[index].left, y: event.clientY - rectangles[index].top };
  }

  // Of one or two pointers: where their middle is, and how far they are apart.
  function gesture() {
    const [first, second = first] = pointers.values();
    const spread = Math.hypot(first.clientX - second.clientX, first.clientY - second.clientY) || 1;
    return { clientX: (first.clientX + second.clientX) / 2, clientY: (first.clientY + second.clientY) / 2, spread };
  }

  function movePointer(event) {
    showPosition(event);
    if (!pointers.has(event.pointerId)) return;
    const before = gesture();
    pointers.set(event.pointerId, event);
    const after = gesture();
    panBy(after.clientX - before.clientX, after.clientY - before.clientY);
    if (pointers.size > 1) {
      const { x, y } = inPane(after);
      zoomTo((view.zoom * after.spread) / before.spread, x, y);
    }
  }

  function showPosition(event) {
    const { index, x, y } = inPane(event);
    const { width, height, scale } = geometry();
    const column = view.x * example.width + (x - width / 2) / scale;
    const row = view.y * example.height + (y - height / 2) / scale;
    const inside = column >= 0 && column <= example.width && row >= 0 && row <= example.height;
    const um = (pixels) => ((pixels * example.pixelSizeNm) / 1000).toFixed(2);
    part("position").textContent = inside ? `x ${um(column)}, y ${um(row)} µm` : "";
    sides.forEach(({ cross }, other) => {
      cross.hidden = other === index || stage.dataset.mode === "slider";
      cross.style.transform = `translate(${x}px, ${y}px)`;
    });
  }

  function forgetPosition() {
    part("position").textContent = "";
    for (const { cross } of sides) cross.hidden = true;
  }

  function wheel(event) {
    const out = event.deltaY > 0;
    // The page goes on scrolling when it came here scrolling, and when there is nothing left to zoom out of.
    if (!event.ctrlKey && performance.now() - lastScroll < SCROLLING_MS) return;
    if (!event.ctrlKey && out && view.zoom === 1) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1);
    const { x, y } = inPane(event);
    zoomTo(view.zoom * Math.exp(-clamp(pixels, -200, 200) * (event.ctrlKey ? 0.01 : 0.002)), x, y);
    showPosition(event);
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = geometry();
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === "+" || event.key === "=") zoomAboutCentre(STEP);
    else if (event.key === "-") zoomAboutCentre(1 / STEP);
    else if (event.key === "0") zoomAboutCentre(0);
    else if (event.key in moves && view.zoom > 1) {
      panBy(moves[event.key][0] * PAN * width, moves[event.key][1] * PAN * height);
    } else return;
    event.preventDefault();
  }

  function moveDivider(event) {
    const { left, width } = stage.getBoundingClientRect();
    setSplit((event.clientX - left) / width);
  }

  // --- Wiring -------------------------------------------------------------------------------------------------------

  for (const field of fields) part(field).addEventListener("change", chooseAcquisition);
  for (const { select } of sides) select.addEventListener("change", showImages);
  for (const radio of root.querySelectorAll("[name=mode]")) radio.addEventListener("change", () => setMode(radio.value));
  part("zoom-in").addEventListener("click", () => zoomAboutCentre(STEP));
  part("zoom-out").addEventListener("click", () => zoomAboutCentre(1 / STEP));
  part("fit").addEventListener("click", () => zoomAboutCentre(0));
  part("brightness").addEventListener("input", setBrightness);
  part("split").addEventListener("input", () => setSplit(part("split").valueAsNumber / 100));
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  const divider = part("divider");
  divider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.stopPropagation();
    event.preventDefault();
    divider.setPointerCapture(event.pointerId);
  });
  divider.addEventListener("pointermove", (event) => {
    if (divider.hasPointerCapture(event.pointerId)) moveDivider(event);
  });

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pointers.size > 1) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
  });
  stage.addEventListener("pointermove", movePointer);
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  stage.addEventListener("pointerleave", forgetPosition);
  stage.addEventListener("wheel", wheel, { passive: false });
  stage.addEventListener("keydown", key);
  // One finger may scroll the page past images that are not enlarged; two must not, or the pinch would be taken away.
  stage.addEventListener("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
  document.addEventListener("scroll", () => (lastScroll = performance.now()), { passive: true });
  new ResizeObserver(render).observe(stage);

  root.hidden = false;
  chooseAcquisition();
  setSplit(0.5);
  setBrightness();
})();
