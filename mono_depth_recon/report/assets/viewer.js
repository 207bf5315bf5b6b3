/* Truth and a model side by side in 3D, rotated together: depth grids are back-projected and drawn with plain WebGL. */
(() => {
  const VERTEX = `#version 300 es
  in vec3 place; in vec3 color; uniform mat4 view; uniform float size; out vec3 shade; out vec3 at;
  void main() { gl_Position = view * vec4(place, 1.0); gl_PointSize = clamp(size / gl_Position.w, 1.0, 16.0); shade = color; at = place; }`;
  const FRAGMENT = `#version 300 es
  precision highp float; in vec3 shade; in vec3 at; uniform bool lit; out vec4 made;
  void main() {
    float light = 1.0;
    if (lit) light = 0.62 + 0.5 * abs(dot(normalize(cross(dFdx(at), dFdy(at))), normalize(vec3(-0.4, -0.6, -0.7))));
    made = vec4(shade * light, 1.0);
  }`;
  const EDGE = 0.05, START = { azimuth: -0.28, elevation: 0.16, zoom: 1.15 };

  const program = gl => {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    return gl.getProgramParameter(made, gl.LINK_STATUS) ? made : null;
  };

  const colors = (scene, image) => {
    const canvas = make("canvas", { width: scene.width, height: scene.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0, scene.width, scene.height);
    const rgba = context.getImageData(0, 0, scene.width, scene.height).data;
    const rgb = new Uint8Array(scene.width * scene.height * 3);
    for (let i = 0; i < scene.width * scene.height; i++) rgb.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
    return rgb;
  };

  const geometry = (scene, data) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), grid = new DataView(bytes.buffer);
    const { width, height, stride } = scene, count = width * height;
    const places = new Float32Array(3 * count), depth = new Float32Array(count), points = [], triangles = [];
    for (let row = 0, i = 0; row < height; row++) for (let column = 0; column < width; column++, i++) {
      const z = depth[i] = grid.getUint16(2 * i, true) * scene.step;
      if (!z) continue;
      places.set([(column * stride - scene.cx) / scene.fx * z, (row * stride - scene.cy) / scene.fy * z, z], 3 * i);
      points.push(i);
    }
    const limit = EDGE * stride;
    const add = (a, b, c) => {
      const near = Math.min(depth[a], depth[b], depth[c]), far = Math.max(depth[a], depth[b], depth[c]);
      if (near > 0 && far - near <= limit * near) triangles.push(a, b, c);
    };
    for (let row = 0; row + 1 < height; row++) for (let column = 0; column + 1 < width; column++) {
      const a = row * width + column;
      add(a, a + width, a + 1);
      add(a + 1, a + width, a + width + 1);
    }
    return { places, points: new Uint16Array(points), triangles: new Uint16Array(triangles) };
  };

  const matrix = (scene, at, aspect) => {
    const [ca, sa, ce, se] = [Math.cos(at.azimuth), Math.sin(at.azimuth), Math.cos(at.elevation), Math.sin(at.elevation)];
    const right = [ca, 0, sa], forward = [-sa * ce, se, ca * ce], down = [-sa * -se, ce, ca * -se];
    const distance = scene.middle * at.zoom, middle = [0, 0, scene.middle];
    const eye = middle.map((value, i) => value - distance * forward[i]);
    const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    const wide = 2 * scene.fx / (scene.width * scene.stride), tall = 2 * scene.fy / (scene.height * scene.stride);
    const f = Math.min(tall, wide * aspect), near = 0.05, far = 60;
    const rows = [
      [...right.map(v => v * f / aspect), -dot(right, eye) * f / aspect],
      [...down.map(v => -v * f), dot(down, eye) * f],
      [...forward.map(v => v * (far + near) / (far - near)), -dot(forward, eye) * (far + near) / (far - near) - 2 * far * near / (far - near)],
      [...forward, -dot(forward, eye)],
    ];
    return new Float32Array([0, 1, 2, 3].flatMap(column => rows.map(row => row[column])));
  };

  const start = (box, image) => {
    const scene = JSON.parse(box.querySelector("script").textContent);
    const canvas = make("canvas", { tabIndex: 0, role: "img", "aria-label": "3D view" });
    const gl = canvas.getContext("webgl2", { antialias: true });
    const shaders = gl && program(gl);
    if (!shaders) return;
    gl.useProgram(shaders);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0.078, 0.086, 0.106, 1);
    const place = gl.getAttribLocation(shaders, "place"), color = gl.getAttribLocation(shaders, "color");
    const uniform = Object.fromEntries(["view", "size", "lit"].map(name => [name, gl.getUniformLocation(shaders, name)]));
    const upload = (kind, data) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(kind, buffer);
      gl.bufferData(kind, data, gl.STATIC_DRAW);
      return buffer;
    };
    const shared = upload(gl.ARRAY_BUFFER, colors(scene, image));
    const loaded = new Map();
    const load = i => {
      if (!loaded.has(i)) {
        const { places, points, triangles } = geometry(scene, scene.depths[i].data);
        loaded.set(i, { places: upload(gl.ARRAY_BUFFER, places), points: upload(gl.ELEMENT_ARRAY_BUFFER, points),
          triangles: upload(gl.ELEMENT_ARRAY_BUFFER, triangles), counts: { points: points.length, triangles: triangles.length } });
      }
      return loaded.get(i);
    };

    let at = { ...START }, surface = false, shown = Math.min(1, scene.depths.length - 1), queued = false;
    const tags = [0, 1].map(() => make("span", { className: "tag" }));
    const drawPane = (model, x, y, width, height) => {
      const made = load(model);
      gl.viewport(x, y, width, height);
      gl.bindBuffer(gl.ARRAY_BUFFER, made.places);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
      gl.bindBuffer(gl.ARRAY_BUFFER, shared);
      gl.enableVertexAttribArray(color);
      gl.vertexAttribPointer(color, 3, gl.UNSIGNED_BYTE, true, 0, 0);
      gl.uniformMatrix4fv(uniform.view, false, matrix(scene, at, width / height));
      gl.uniform1f(uniform.size, 1.25 * Math.min(width / scene.width, height / scene.height) * scene.middle);
      gl.uniform1i(uniform.lit, surface ? 1 : 0);
      const kind = surface ? "triangles" : "points";
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, made[kind]);
      gl.drawElements(surface ? gl.TRIANGLES : gl.POINTS, made.counts[kind], gl.UNSIGNED_SHORT, 0);
    };
    const draw = () => {
      queued = false;
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
      if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
      gl.viewport(0, 0, width, height);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      const beside = width > 1.25 * height, alone = scene.depths.length < 2;
      const panes = alone ? [0] : [0, shown];
      panes.forEach((model, i) => {
        if (alone) drawPane(model, 0, 0, width, height);
        else if (beside) drawPane(model, i * width >> 1, 0, width >> 1, height);
        else drawPane(model, 0, i ? 0 : height >> 1, width, height >> 1);
        tags[i].textContent = scene.depths[model].name;
        tags[i].style.left = i && beside ? "calc(50% + .7rem)" : ".7rem";
        tags[i].style.top = i && !beside ? "calc(50% + .7rem)" : ".7rem";
      });
      canvas.setAttribute("aria-label", `3D view of ${panes.map(i => scene.depths[i].name).join(" and ")}, turned by ` +
        `${Math.round(at.azimuth * 57.3)} degrees, raised by ${Math.round(at.elevation * 57.3)}; arrow keys turn, plus and minus zoom`);
    };
    const refresh = () => { if (!queued) { queued = true; requestAnimationFrame(draw); } };
    const turn = (right, up, zoom = 1) => {
      at.azimuth = Math.max(-3.1, Math.min(3.1, at.azimuth + right));
      at.elevation = Math.max(-1.4, Math.min(1.4, at.elevation + up));
      at.zoom = Math.max(0.25, Math.min(4, at.zoom * zoom));
      refresh();
    };
    const fingers = new Map();
    const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    canvas.addEventListener("pointermove", event => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const before = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (fingers.size === 2) turn(0, 0, before / Math.max(spread(), 1));
      else turn((last.x - event.clientX) * 0.006, (event.clientY - last.y) * 0.006);
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, event => fingers.delete(event.pointerId));
    canvas.addEventListener("wheel", event => {
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      turn(0, 0, Math.exp(event.deltaY * 0.001));
    }, { passive: false });
    canvas.addEventListener("keydown", event => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1],
        "+": [0, 0, 0.9], "=": [0, 0, 0.9], "-": [0, 0, 1.1] }[event.key];
      if (!step) return;
      event.preventDefault();
      turn(...step);
    });
    const reset = make("button", { type: "button", textContent: "Reset view", onclick: () => { at = { ...START }; refresh(); } });
    const row = make("div", { className: "row" });
    if (scene.depths.length > 1) {
      row.append(segments("Beside the truth", scene.depths.slice(1).map(each => each.name), i => { shown = i + 1; refresh(); }));
    }
    row.append(segments("Draw", ["Points", "Surface"], i => { surface = i === 1; refresh(); }),
      make("div", { className: "segments" }, reset));
    box.append(make("div", { className: "screen" }, canvas, ...tags), row,
      make("p", { className: "rule", textContent: "Drag to turn, pinch or + and − to zoom, arrow keys turn too; the wheel zooms after a click into the picture." }));
    box.classList.add("ready");
    new ResizeObserver(refresh).observe(canvas);
  };

  document.querySelectorAll("[data-viewer]").forEach(box => {
    const image = document.querySelector(`#frames [data-recording="${CSS.escape(box.dataset.recording)}"] ` +
      `details[data-frame="${CSS.escape(box.dataset.frame)}"] img[data-kind=colour]`);
    if (image) image.decode().then(() => start(box, image));
  });
})();
