// Mouse, touch, wheel and arrow keys on the film.

const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const ARROW_STEP = 40; // CSS pixels
const LINE = 16; // CSS pixels of a wheel that counts lines
const WHEEL = 0.0015; // zoom of one pixel of the wheel, as a power of e

export function listenToPointers(viewer, film, area) {
  const pointers = new Map(); // those that are down, by id: where they were last
  let windowing = false;
  let dragged = null; // window and level of the drag, not yet rounded: a fine mouse moves by less than a pixel
  film.tabIndex = 0;

  // In CSS pixels from the middle of the film's area.
  const from = (event) => {
    const box = area.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  };

  const pinch = (before, after) => {
    const [one, two] = before;
    const [first, second] = after;
    const distance = (a, b) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
    const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
    const [old, current] = [middle(one, two), middle(first, second)];
    viewer.zoomBy(distance(first, second) / distance(one, two), old.x, old.y);
    viewer.move(current.x - old.x, current.y - old.y);
  };

  area.addEventListener("pointerdown", (event) => {
    if (event.button === 1) { return; }
    pointers.set(event.pointerId, from(event));
    windowing = event.button === 2 || event.shiftKey;
    dragged = { ...viewer.window };
    area.setPointerCapture(event.pointerId);
    film.focus({ preventScroll: true });
    event.preventDefault();
  });
  area.addEventListener("pointermove", (event) => {
    const old = pointers.get(event.pointerId);
    if (!old) { return; }
    const before = [...pointers.values()];
    const current = from(event);
    pointers.set(event.pointerId, current);
    const [x, y] = [current.x - old.x, current.y - old.y];
    if (before.length === 2) {
      pinch(before, [...pointers.values()]);
    } else if (windowing) {
      const { perPixel } = viewer.layer;
      dragged = { width: dragged.width + x * perPixel, level: dragged.level + y * perPixel };
      viewer.setWindow(dragged.width, dragged.level);
    } else if (event.pointerType !== "touch" || !viewer.fitted) { // one finger scrolls the page until the film is zoomed
      viewer.move(x, y);
    }
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    area.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  area.addEventListener("contextmenu", (event) => event.preventDefault());
  area.addEventListener("wheel", (event) => {
    event.preventDefault();
    const turned = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : LINE);
    const { x, y } = from(event);
    viewer.zoomBy(Math.exp(-turned * WHEEL), x, y);
  }, { passive: false });
  film.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || event.ctrlKey || event.altKey || event.metaKey) { return; }
    event.preventDefault();
    viewer.move(arrow[0] * ARROW_STEP, arrow[1] * ARROW_STEP);
  });
}
