// Shows runs from the messages of the watcher: each has all figures and curves of a run, or its newest filters.
const COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]
const DASHES = ["", "6 3", "1.5 3", "7 3 1.5 3"]
const MARKS = 40  // of validations on a curve at most, as in the report
const LATE = 30  // seconds without a step that are worth telling
const runs = new Map(), drawn = new Map()

const figure = number => number === null ? "-" : Math.abs(number) >= 1000 ? count(Math.round(number)) : String(+number.toPrecision(4))
const look = run => ({ colour: COLOURS[run % COLOURS.length], dash: DASHES[Math.floor(run / COLOURS.length) % DASHES.length] })
const sorted = map => [...map.entries()].sort(([a], [b]) => a - b)
const since = state => (Date.now() - state.came) / 1000

function named(tag, run, text) {
  const swatch = made("span", "")
  swatch.className = "swatch"
  swatch.style.background = look(run).colour
  return made(tag, "", ...(runs.size > 1 ? [swatch] : []), text)
}

function noted(text, kind = "note") {
  const line = made("p", text)
  line.className = kind
  return line
}

function figures(state) {
  const losses = Object.entries(state.losses).map(([name, value]) => [figure(value), name])
  const tested = state.validation === null ? [] : Object.entries(state.validation.figures)
  return [
    [state.state, "state"],
    [`${count(state.step)} / ${count(state.steps)}`, "steps"],
    ...(state.seconds_left === null ? [] : [[clock(state.seconds_left), "left"]]),
    ...(state.image_rate === null ? [] : [[count(Math.round(state.image_rate)), "images per second"]]),
    ...losses,
    ...tested.map(([name, value]) => [figure(value), `validation ${name}, step ${count(state.validation.step)}`]),
  ]
}

function card(run, state) {
  const about = [state.network, state.settings].filter(text => text).join(": ")
  const parts = [named("h3", run, state.path), ...(about ? [noted(about)] : []), ...state.changes.map(line => noted(line))]
  const silent = state.silent === null ? 0 : state.silent + since(state)
  if (state.problem) parts.push(noted(state.problem, "warning"))
  if (silent > LATE) parts.push(noted(`No step for ${clock(silent)}.`, "warning"))
  if (state.state) {
    const shown = made("div", "", ...tiles(figures(state)))
    shown.className = "tiles"
    parts.push(shown)
  }
  const element = made("div", "", ...parts)
  element.dataset.run = run
  return element
}

function showRuns() {
  document.querySelector("#runs").replaceChildren(...sorted(runs).map(([run, state]) => card(run, state)))
  const networks = [...new Set([...runs.values()].map(state => state.network).filter(name => name))]
  document.querySelector("#title").textContent = networks.join(", ") || "lnet watch"
  document.title = `${networks.join(", ") || "runs"} · lnet watch`
  const messages = sorted(runs).flatMap(([, state]) => state.messages.map(one => [one.ago + since(state), state.path, one.text]))
  fill("messages", messages.sort(([a], [b]) => a - b).map(([ago, path, text]) => [clock(ago), path, text]))
}

// --- curves ------------------------------------------------------------------------------------------------------------

function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.textContent = text
  return element
}

// An axis from the least to the largest value over so many pixels: the place of a value, and marked values, so far apart.
function axis(values, pixels, apart, logarithmic) {
  const through = logarithmic ? Math.log10 : value => value
  let low = through(values.reduce((a, b) => Math.min(a, b))), high = through(values.reduce((a, b) => Math.max(a, b)))
  if (high - low < 1e-9) [low, high] = [low - (logarithmic ? 0.1 : 0.5), high + (logarithmic ? 0.1 : 0.5)]
  const marks = []
  if (logarithmic && high - low > 0.8) {
    const factors = high - low > 2 ? [1] : [1, 2, 5]
    for (let power = Math.floor(low); power <= high; power++) marks.push(...factors.map(factor => factor * 10 ** power))
  } else {
    const [from, to] = logarithmic ? [10 ** low, 10 ** high] : [low, high]
    const rough = (to - from) / Math.max(2, pixels / apart), power = 10 ** Math.floor(Math.log10(rough))
    const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough)
    for (let mark = Math.ceil(from / step); mark * step <= to; mark++) marks.push(mark * step)
  }
  const place = value => pixels * (through(value) - low) / (high - low)
  return { place, marks: marks.filter(mark => through(mark) >= low - 1e-9 && through(mark) <= high + 1e-9) }
}

function chart(heading, name, lines, width) {
  const left = 52, right = 22, top = 8, bottom = 34, height = 220
  const points = lines.flatMap(line => line.points)
  const losses = heading === "Losses", values = points.map(point => point[1])
  const x = axis(points.map(point => point[0]), width - left - right, 70, false)
  const logarithmic = losses && values.every(value => value > 0)
  const y = axis(losses ? values : [0, ...values], height - top - bottom, 45, logarithmic)
  const at = ([step, value]) => [left + x.place(step), height - bottom - y.place(value)].map(place => place.toFixed(1))
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name })
  for (const mark of y.marks) {
    const place = height - bottom - y.place(mark)
    picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: place, y2: place }))
    picture.append(svg("text", { x: left - 6, y: place + 4, "text-anchor": "end" }, (+mark.toPrecision(3)).toLocaleString("en")))
  }
  for (const mark of x.marks) {
    picture.append(svg("text", { x: left + x.place(mark), y: height - bottom + 16, "text-anchor": "middle" }, count(mark)))
  }
  picture.append(svg("text", { x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle" }, "step"))
  for (const { run, points, validated } of lines) {
    const { colour, dash } = look(run)
    const path = points.map((point, number) => (number ? "L" : "M") + at(point)).join("")
    picture.append(svg("path", { d: path, fill: "none", stroke: colour, "stroke-dasharray": dash, "stroke-width": validated ? 0.7 : 1.4 }))
    const every = validated ? Math.ceil(points.length / MARKS) : 1
    const marked = points.filter((_, number) => (points.length - 1 - number) % every === 0)
    for (const [cx, cy] of validated || points.length === 1 ? marked.map(at) : []) picture.append(svg("circle", { cx, cy, r: 2.4, fill: colour }))
  }
  return picture
}

function showCurves() {
  const found = new Map()  // by heading and name, the lines of all runs
  for (const [run, state] of sorted(runs)) {
    for (const [heading, curves] of Object.entries(state.curves)) {
      for (const [name, curve] of Object.entries(curves)) {
        if (!found.has(heading)) found.set(heading, new Map())
        const lines = found.get(heading).get(name) ?? []
        if (curve.trained.length) lines.push({ run, points: curve.trained, validated: false })
        if (curve.validated.length) lines.push({ run, points: curve.validated, validated: true })
        if (lines.length) found.get(heading).set(name, lines)
      }
    }
  }
  const area = document.querySelector("#curves")
  const columns = area.clientWidth < 2 * 420 + 28 ? 1 : 2, width = Math.max(260, Math.floor((area.clientWidth - 28 * (columns - 1)) / columns))
  area.replaceChildren(...[...found].filter(([, curves]) => curves.size).flatMap(([heading, curves]) => {
    const marked = [...curves.values()].some(lines => lines.some(line => line.validated))
    const shown = made("div", "", ...[...curves].map(([name, lines]) => {
      const one = made("div", "", made("h3", name), chart(heading, name, lines, width))
      one.className = "live"
      return one
    }))
    shown.className = "beside"
    return [made("h2", heading), ...(marked ? [noted("Thin lines with marks: validations.")] : []), shown]
  }))
}

// --- filters -----------------------------------------------------------------------------------------------------------

function showFilters() {
  const section = document.querySelector("#filters")
  section.hidden = drawn.size === 0
  section.querySelector("div").replaceChildren(...sorted(drawn).map(([run, filters]) => {
    const path = runs.get(run)?.path ?? ""
    if (filters.missing) return made("div", "", named("h3", run, path), noted(filters.missing, "warning"))
    const row = made("div", "", ...Object.entries(filters.pictures).map(([name, url]) => {
      const picture = document.createElement("img")
      Object.assign(picture, { src: url, alt: `filters of ${name}`, className: "pixels" })
      return made("figure", "", picture, made("figcaption", name))
    }))
    row.className = "row"
    const heading = named("h3", run, `${path}, checkpoint of step ${count(filters.step)}`)
    return made("div", "", heading, noted(filters.caption), row)
  }))
}

// --- events ------------------------------------------------------------------------------------------------------------

const source = new EventSource("events")
source.onopen = () => {
  alarm("")
  runs.clear()
  drawn.clear()
}
source.onerror = () => alarm("The watcher has ended or cannot be reached: this is how the runs stood last.")
source.onmessage = message => {
  const news = JSON.parse(message.data)
  for (const each of news) {
    if (each.kind === "gone") runs.delete(each.run)
    else if (each.kind === "run") runs.set(each.run, { ...each, came: Date.now() })
    else drawn.set(each.run, each)
  }
  showRuns()
  showCurves()
  if (news.some(each => each.kind === "filters")) showFilters()
}
addEventListener("resize", showCurves)
setInterval(showRuns, 1000)
