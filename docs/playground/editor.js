// A text area over its own text in colours, with marks under what is wrong, hovers and completions.
import { escaped } from "./grammar.js"

const REST = 400 // milliseconds that a pointer rests before it asks

export class Editor {
  // `questions`: `hover(position)` and `complete(position)`, each a promise of an answer of answers.py.
  constructor(element, colours, questions) {
    this.area = element.querySelector("textarea")
    this.layers = {}
    for (const name of ["numbers", "marks", "coloured", "tip", "list"])
      this.layers[name] = element.querySelector("." + name)
    this.coloured = new Lines(this.layers.coloured, line => colours.line(line))
    this.questions = questions
    this.marks = []
    this.before = ""
    this.choices = []
    this.area.addEventListener("input", event => this.typed(event))
    this.area.addEventListener("keydown", event => this.pressed(event))
    this.area.addEventListener("blur", () => this.close())
    this.area.addEventListener("click", () => this.close())
    this.area.addEventListener("mousemove", event => this.pointed(event))
    this.area.addEventListener("mouseleave", () => this.pointed())
  }

  get text() {
    return this.area.value
  }

  // Replace the whole text; the editor's own undo takes it back if `undoable`.
  replace(text, undoable = false) {
    if (undoable) {
      this.area.focus()
      this.area.select()
      document.execCommand("insertText", false, text)
    } else {
      this.area.value = text
      this.area.dispatchEvent(new Event("input"))
    }
  }

  select(start, end) {
    this.area.focus()
    this.area.setSelectionRange(start, end)
  }

  // --- what is drawn below the text ---------------------------------------------------------------------

  typed(event) {
    this.close()
    this.pointed()
    this.marks = moved(this.marks, this.before, this.text)
    this.before = this.text
    this.draw()
    if (event.data && /^[\w:(,=. ]$/.test(event.data)) this.suggest(event.data)
  }

  draw() {
    const lines = this.text.split("\n")
    if (lines.length !== this.coloured.lines.length)
      this.layers.numbers.textContent = lines.map((_, number) => number + 1).join("\n")
    this.coloured.show(lines)
    this.layers.marks.innerHTML = marked(this.text, this.marks)
  }

  // Underline places: `{start, end, severity}`.
  mark(places) {
    this.marks = [...places].sort((a, b) => a.start - b.start)
    this.draw()
  }

  // --- hovers -------------------------------------------------------------------------------------------

  // The pointer has moved, or does not point to the text any longer.
  pointed(event) {
    clearTimeout(this.resting)
    this.tip()
    this.resting = event && setTimeout(() => this.ask(this.position(event)), REST)
  }

  async ask(position) {
    if (position === undefined) return
    const asked = this.resting
    const found = await this.questions.hover(position)
    if (asked === this.resting) this.tip(found)
  }

  tip(found) {
    this.layers.tip.hidden = !found
    if (!found) return
    this.layers.tip.textContent = found.text.replace(/```\w*\n|\n```|`/g, "")
    this.place(this.layers.tip, found.start)
  }

  // Return the position of the character under the pointer; undefined: there is none.
  position(event) {
    const box = this.area.getBoundingClientRect()
    const style = getComputedStyle(this.area)
    const row = Math.floor((event.clientY - box.top - parseFloat(style.paddingTop)) / parseFloat(style.lineHeight))
    const lines = this.text.split("\n")
    let [low, high] = [0, lines[row]?.length ?? 0]
    if (!high || event.clientX < this.left(row, low) || event.clientX >= this.left(row, high)) return undefined
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.left(row, middle) <= event.clientX) low = middle
      else high = middle
    }
    return lines.slice(0, row).reduce((sum, line) => sum + line.length + 1, 0) + low
  }

  // Return where a character of a line begins in the window, as it is drawn: tabs are wide, and so are some letters.
  left(row, column) {
    const line = this.layers.coloured.children[row]
    if (!column) return line.getBoundingClientRect().left
    const parts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT)
    let part = parts.nextNode()
    for (; part.length < column; part = parts.nextNode()) column -= part.length
    const before = document.createRange()
    before.setStart(line, 0)
    before.setEnd(part, column)
    return before.getBoundingClientRect().right
  }

  // Put an element below a position of the text, or above it in the lower half of what is seen of the text.
  place(element, position) {
    const lines = this.text.slice(0, position).split("\n")
    const sight = this.area.closest(".editor")
    const down = lines.length * parseFloat(getComputedStyle(this.area).lineHeight) - sight.scrollTop
    element.classList.toggle("above", down > sight.clientHeight / 2)
    element.style.setProperty("--row", lines.length)
    const left = this.left(lines.length - 1, lines.at(-1).length)
    element.style.setProperty("--left", left - this.layers.coloured.getBoundingClientRect().left + "px")
  }

  // --- completions --------------------------------------------------------------------------------------

  pressed(event) {
    if (event.isComposing) return
    if (event.key === " " && event.ctrlKey) this.suggest("")
    else if (event.key === "Enter" && this.layers.list.hidden) this.indent()
    else if (this.layers.list.hidden) return
    else if (event.key === "ArrowDown") this.choose(this.chosen + 1)
    else if (event.key === "ArrowUp") this.choose(this.chosen - 1)
    else if (event.key === "Enter" || event.key === "Tab") this.take(this.choices[this.chosen])
    else if (event.key === "Escape") this.close()
    else return
    event.preventDefault()
  }

  // Begin a line as far in as the last one, further behind an open brace.
  indent() {
    const line = this.text.slice(0, this.area.selectionStart).split("\n").at(-1)
    const blanks = line.match(/^\s*/)[0] + (/\{\s*$/.test(line) ? "    " : "")
    document.execCommand("insertText", false, "\n" + blanks)
  }

  async suggest(key) {
    const text = this.text
    const position = this.area.selectionStart
    const { start, found } = await this.questions.complete(position)
    if (text !== this.text || position !== this.area.selectionStart) return
    if (!found.length || (key === " " && start === position)) return
    if (found.length === 1 && found[0].name === text.slice(start, position)) return
    this.from = start
    this.choices = found
    const rows = found.map(({ name, what }) => `<li role="option"><b>${escaped(name)}</b> ${escaped(what)}</li>`)
    this.layers.list.innerHTML = rows.join("")
    ;[...this.layers.list.children].forEach((row, number) =>
      row.addEventListener("mousedown", event => {
        event.preventDefault() // the text keeps the focus
        this.take(found[number])
      }),
    )
    this.place(this.layers.list, start)
    this.layers.list.hidden = false
    this.choose(0)
  }

  choose(number) {
    const rows = [...this.layers.list.children]
    this.chosen = (number + rows.length) % rows.length
    rows.forEach((row, each) => row.setAttribute("aria-selected", each === this.chosen))
    rows[this.chosen].scrollIntoView({ block: "nearest" })
  }

  take({ text }) {
    this.area.setSelectionRange(this.from, this.area.selectionStart)
    this.close()
    document.execCommand("insertText", false, text)
  }

  close() {
    this.layers.list.hidden = true
    this.choices = []
  }
}

// Lines in a layer, each in an element of its own: only those that have changed are drawn anew.
class Lines {
  // `html` makes a line.
  constructor(element, html) {
    this.element = element
    this.html = html
    this.lines = []
  }

  show(lines) {
    const least = Math.min(lines.length, this.lines.length)
    let start = 0
    while (start < least && lines[start] === this.lines[start]) start++
    let end = 0
    while (end < least - start && lines.at(-1 - end) === this.lines.at(-1 - end)) end++
    for (const old of [...this.element.children].slice(start, this.lines.length - end)) old.remove()
    const made = lines.slice(start, lines.length - end).map(line => {
      const element = document.createElement("div")
      element.innerHTML = this.html(line)
      return element
    })
    if (start) this.element.children[start - 1].after(...made)
    else this.element.prepend(...made)
    this.lines = lines
  }
}

// Return marks as they lie after a change of the text; those that it touches go.
function moved(marks, before, after) {
  let start = 0
  while (start < before.length && before[start] === after[start]) start++
  let end = 0
  while (end < Math.min(before.length, after.length) - start && before.at(-1 - end) === after.at(-1 - end)) end++
  const by = after.length - before.length
  return marks.flatMap(mark => {
    if (mark.end <= start) return [mark]
    return mark.start >= before.length - end ? [{ ...mark, start: mark.start + by, end: mark.end + by }] : []
  })
}

// Return marks at places of a text as HTML, with no more of the text around them than puts them in their places.
// They are in order, and one that begins within another is left out.
function marked(text, places) {
  let html = ""
  let at = 0
  for (const { start, end, severity } of places) {
    if (start < at) continue
    const inside = text.slice(start, end).trimEnd() || " "
    html += `${escaped(text.slice(at, start).replace(/.*\n/g, "\n"))}<mark class="${severity}">${escaped(inside)}</mark>`
    at = start + (inside === " " ? 0 : inside.length)
  }
  return html
}
