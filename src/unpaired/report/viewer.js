// The viewer of a report: unpacks NiiVue and the volumes that the page carries, when a reader opens it.
"use strict";

(() => {
  const facts = JSON.parse(document.getElementById("viewer-facts").textContent);
  const part = (name) => document.getElementById(`viewer-${name}`);
  const box = part("box");
  const canvas = part("canvas");
  const slice = { axial: 0, coronal: 1, sagittal: 2, multiplanar: 3, render: 4 };
  const [IMAGE, FILL, OUTLINE] = [0, 1, 2]; // among NiiVue's volumes; the last is missing without a reference
  const REFERENCE = "reference";
  let viewer = null;
  let shown = null; // the case on the screen: its facts, its label maps, and the method whose map is the fill
  let loading = Promise.resolve();

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  async function gunzip(text) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function missing() {
    if (typeof DecompressionStream === "undefined") return "This browser is too old for the viewer (no DecompressionStream).";
    if (!document.createElement("canvas").getContext("webgl2")) {
      return "The viewer needs WebGL2, which this browser has not or has switched off. All pictures above are complete without it.";
    }
    return null;
  }

  function say(text, state) {
    part("message").textContent = text;
    part("message").hidden = !text;
    box.dataset.state = state;
  }

  async function start() {
    const problem = missing();
    if (problem) return say(problem, "unsupported");
    say("Starting …", "starting");
    const script = document.createElement("script");
    script.textContent = await gunzip(part("niivue").textContent.trim());
    document.head.append(script);
    part("stage").hidden = false;
    viewer = new niivue.Niivue({
      backColor: [0.06, 0.07, 0.09, 1],
      crosshairColor: [1, 1, 1, 0.55],
      crosshairWidth: 0.3,
      crosshairWidthUnit: "percent",
      fontColor: [0.9, 0.93, 0.96, 1],
      dragAndDropEnabled: false,
      isColorbar: false,
      isRadiologicalConvention: true,
      loadingText: "",
      logLevel: "error",
      multiplanarLayout: 2, // a grid
      multiplanarShowRender: 1, // always
      sagittalNoseLeft: true,
      showAllOrientationMarkers: true,
      scrollRequiresFocus: true,
      showLegend: false,
      sliceType: slice[part("view").value] ?? slice.multiplanar,
      viewModeHotKey: "",
    });
    // NiiVue has one outline setting for all label maps; here only the reference's are to be opaque lines.
    const refresh = viewer.refreshLayers.bind(viewer);
    viewer.refreshLayers = (volume, layer) => {
      viewer.opts.atlasOutline = volume.name === `${REFERENCE}.nii.gz` ? 1 : 0;
      return refresh(volume, layer);
    };
    await viewer.attachToCanvas(canvas);
    viewer.onLocationChange = locate;
    viewer.onIntensityChange = (volume) => writeWindow(volume.cal_min, volume.cal_max);
    await show(Number(part("case").value));
    canvas.focus();
  }

  const colormap = () => {
    const rows = [[0, 0, 0, 0], ...facts.classes.map(({ color }) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)).concat(255))];
    const column = (place) => rows.map((row) => row[place]);
    return { R: column(0), G: column(1), B: column(2), A: column(3), I: rows.map((_, number) => number), labels: ["background", ...facts.classes.map(({ name }) => name)] };
  };

  // The voxels of a class that touch another one within their slice, so that an outline can lie on a fill.
  function outline(labels, dims, axis) {
    const steps = [1, dims[0], dims[0] * dims[1]];
    const edge = new Uint8Array(labels.length);
    const planes = [0, 1, 2].filter((other) => other !== axis);
    for (let at = 0; at < labels.length; at++) {
      if (!labels[at]) continue;
      for (const other of planes) {
        const place = Math.floor(at / steps[other]) % dims[other];
        if (place === 0 || place === dims[other] - 1 || labels[at - steps[other]] !== labels[at] || labels[at + steps[other]] !== labels[at]) {
          edge[at] = labels[at];
          break;
        }
      }
    }
    return edge;
  }

  // All of a case's label maps are unpacked, but NiiVue holds one fill and one outline, however many methods there are.
  async function show(number) {
    const item = facts.cases[number];
    say("Unpacking the volumes …", "loading");
    while (viewer.volumes.length) viewer.removeVolumeByIndex(0);
    shown = null;
    const load = (name, options) => niivue.NVImage.loadFromBase64({ base64: part(`${number}-${name}`).textContent.trim(), name: `${name}.nii.gz`, ...options });
    viewer.addVolume(await load("image", { colormap: "gray", cal_min: item.window[0], cal_max: item.window[1] }));
    const volumes = {};
    for (const name of item.has) volumes[name] = await load(name, { opacity: 0 });
    const labels = Object.fromEntries(item.has.map((name) => [name, volumes[name].img.slice()]));
    const methods = facts.methods.filter(({ id }) => item.has.includes(id));
    const layers = [volumes[methods[0].id], volumes[REFERENCE]].filter(Boolean);
    for (const volume of layers) {
      volume.setColormapLabel(colormap());
      viewer.addVolume(volume);
    }
    if (REFERENCE in volumes) volumes[REFERENCE].img.set(outline(labels[REFERENCE], volumes[REFERENCE].hdr.dims.slice(1, 4), item.axis));
    shown = { item, labels, methods, method: methods[0].id };
    offer(methods);
    const absent = facts.methods.filter((method) => !methods.includes(method)).map(({ name }) => name);
    const remarks = [...item.changes, ...(absent.length ? [`without ${absent.join(", ")}`] : [])];
    part("changes").textContent = remarks.length ? `Shown here: ${remarks.join("; ")}.` : "";
    part("low").min = part("high").min = item.range[0];
    part("low").max = part("high").max = item.range[1];
    writeWindow(...item.window);
    viewer.updateGLVolume();
    viewer.scene.crosshairPos = viewer.mm2frac(item.place, 0, true);
    look();
    fill();
    paint();
    viewer.createOnLocationChange();
    say("", "ready");
  }

  // A page that compares methods lets the reader choose; the choice is kept from case to case where it can be.
  function offer(methods) {
    if (!part("method")) return;
    for (const option of part("method").options) option.disabled = !methods.some(({ id }) => id === option.value);
    if (part("method").selectedOptions[0].disabled) part("method").value = methods[0].id;
  }

  // Makes the chosen method's label map the fill.
  function fill() {
    const wanted = part("method") ? part("method").value : shown.method;
    if (wanted === shown.method) return;
    shown.method = wanted;
    viewer.volumes[FILL].img.set(shown.labels[wanted]);
    viewer.updateGLVolume();
  }

  function paint() {
    if (!shown) return;
    const choice = box.querySelector("input[name=viewer-labels]:checked").value;
    const strength = part("opacity").value / 100;
    viewer.setOpacity(FILL, choice === "prediction" || choice === "both" ? strength : 0);
    if (viewer.volumes.length > OUTLINE) viewer.setOpacity(OUTLINE, choice === REFERENCE || choice === "both" ? 1 : 0);
    part("opacity-value").textContent = `${part("opacity").value} %`;
  }

  // The plane that NiiVue shows the acquired slices in: of an oblique scan it is one of two that are about as near.
  function acquiredPlane() {
    const axes = viewer.volumes[IMAGE].permRAS.map(Math.abs);
    return ["sagittal", "coronal", "axial"][axes.indexOf(shown.item.axis + 1)];
  }

  function look() {
    const view = part("view").value;
    viewer.setSliceType(slice[view === "acquired" ? acquiredPlane() : view]);
    // In 3D the scan would hide the labels inside it.
    viewer.setOpacity(IMAGE, view === "render" ? 0 : 1);
  }

  function writeWindow(low, high) {
    part("low").value = low;
    part("high").value = high;
    part("low-value").textContent = Number(low.toPrecision(4));
    part("high-value").textContent = Number(high.toPrecision(4));
  }

  function readWindow(moved) {
    let [low, high] = [Number(part("low").value), Number(part("high").value)];
    const least = (shown.item.range[1] - shown.item.range[0]) / 500;
    if (high - low < least) [low, high] = moved === "low" ? [low, low + least] : [high - least, high];
    viewer.volumes[IMAGE].cal_min = low;
    viewer.volumes[IMAGE].cal_max = high;
    writeWindow(low, high);
    viewer.updateGLVolume();
  }

  function locate(place) {
    if (!shown || !place.values || !place.values.length) return;
    const words = [`x ${place.mm[0].toFixed(0)}, y ${place.mm[1].toFixed(0)}, z ${place.mm[2].toFixed(0)} mm`, `value ${Number(place.values[0].value.toPrecision(4))}`];
    const [x, y, z] = shown.item.inverse.map((row) => Math.round(row[0] * place.mm[0] + row[1] * place.mm[1] + row[2] * place.mm[2] + row[3]));
    const dims = viewer.volumes[IMAGE].hdr.dims;
    const maps = [...shown.methods, ...(REFERENCE in shown.labels ? [{ id: REFERENCE, name: REFERENCE }] : [])];
    for (const { id, name } of maps) {
      const label = shown.labels[id][x + dims[1] * (y + dims[2] * z)] || 0;
      words.push(`${name}: ${label ? facts.classes[label - 1].name : "background"}`);
    }
    part("place").textContent = words.join(" · ");
  }

  const next = (number) => { loading = loading.then(() => show(number)).catch(fail); };
  const fail = (error) => say(`The viewer can't show this: ${error.message}`, "failed");
  // Steps in RAS voxels: to the right and up on the screen, and to the next slice, in each plane. Radiologists look at
  // the patient's left on the right; in sagittal slices the nose points to the left.
  const moves = {
    axial: { right: [-1, 0, 0], up: [0, 1, 0], through: [0, 0, 1] },
    coronal: { right: [-1, 0, 0], up: [0, 0, 1], through: [0, 1, 0] },
    sagittal: { right: [0, -1, 0], up: [0, 0, 1], through: [-1, 0, 0] },
  };
  const keys = { ArrowRight: ["right", 1], ArrowLeft: ["right", -1], ArrowUp: ["up", 1], ArrowDown: ["up", -1], PageUp: ["through", 1], PageDown: ["through", -1] };

  part("open").addEventListener("click", () => {
    part("open").hidden = true;
    loading = start().catch(fail);
  });
  part("case").addEventListener("change", () => next(Number(part("case").value)));
  part("view").addEventListener("change", look);
  part("opacity").addEventListener("input", paint);
  if (part("method")) part("method").addEventListener("change", () => shown && fill());
  for (const choice of box.querySelectorAll("input[name=viewer-labels]")) choice.addEventListener("change", paint);
  for (const end of ["low", "high"]) part(end).addEventListener("input", () => readWindow(end));
  part("reset").addEventListener("click", () => {
    [viewer.volumes[IMAGE].cal_min, viewer.volumes[IMAGE].cal_max] = shown.item.window;
    writeWindow(...shown.item.window);
    viewer.updateGLVolume();
  });
  canvas.addEventListener("keydown", (event) => {
    const numbered = part("method") && /^[1-9]$/.test(event.key) && part("method").options[Number(event.key) - 1];
    if (!(event.key in keys || numbered) || !shown) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (numbered) {
      if (numbered.disabled) return;
      part("method").value = numbered.value;
      return fill();
    }
    const [direction, sign] = keys[event.key];
    const plane = part("view").value in moves ? part("view").value : acquiredPlane();
    viewer.moveCrosshairInVox(...moves[plane][direction].map((step) => sign * step));
  }, true);
  // NiiVue has keys of its own, some of which change the view: only those that the page names do anything.
  canvas.addEventListener("keyup", (event) => event.stopImmediatePropagation(), true);
  box.hidden = false;
})();
