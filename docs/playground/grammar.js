// Colours of a line, by a TextMate grammar that has only patterns within lines: that of editors/vscode.

export const escaped = text => text.replace(/[&<>]/g, sign => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign])

// The class of a scope: `keyword.control.lnet` has the colour of `keyword-control`.
const classOf = scope => scope.split(".").slice(0, 2).join("-")

const span = (scope, text) => `<span class="${classOf(scope)}">${escaped(text)}</span>`

export class Colours {
  constructor(grammar) {
    this.patterns = grammar.patterns.map(({ name, match, begin, end, captures }) => ({
      name,
      captures,
      regex: new RegExp(match ?? `${begin}(?:\\\\.|.)*?(?:${end})`, "dg"),
    }))
    this.known = new Map()
  }

  // Return a line as HTML.
  line(text) {
    let found = this.known.get(text)
    if (found === undefined) {
      if (this.known.size > 5000) this.known.clear()
      this.known.set(text, (found = [...this.parts(text)].join("")))
    }
    return found
  }

  *parts(text) {
    for (let at = 0; at < text.length; ) {
      const next = this.next(text, at)
      if (!next) {
        yield escaped(text.slice(at))
        return
      }
      yield escaped(text.slice(at, next.found.index))
      yield* this.coloured(next)
      at = next.found.index + next.found[0].length
    }
  }

  // Return the first match from a position on; of several that begin there, that of the first pattern.
  next(text, at) {
    let first
    for (const pattern of this.patterns) {
      pattern.regex.lastIndex = at
      const found = pattern.regex.exec(text)
      if (found?.[0] && (!first || found.index < first.found.index)) first = { pattern, found }
    }
    return first
  }

  *coloured({ pattern, found }) {
    if (!pattern.captures) {
      yield span(pattern.name, found[0])
      return
    }
    let at = found.index
    for (const [number, { name }] of Object.entries(pattern.captures)) {
      const [start, end] = found.indices[number]
      yield escaped(found.input.slice(at, start)) + span(name, found[number])
      at = end
    }
    yield escaped(found.input.slice(at, found.index + found[0].length))
  }
}
