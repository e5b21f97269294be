// The playground: a text, what the compiler says of it, and a link that holds it.
import { Compiler } from "./compiler.js"
import { Editor } from "./editor.js"
import { Colours } from "./grammar.js"
import { packed, unpacked } from "./link.js"

const PAUSE = 250 // milliseconds without a key after which a text is checked
const LONGEST = 100_000 // characters of a text
const at = name => document.getElementById(name)

const loaded = async name => {
  const found = await fetch(new URL(name, import.meta.url))
  if (!found.ok) throw new Error(`${name} cannot be loaded: ${found.status} ${found.statusText}`)
  return found.json()
}

const [grammar, examples] = await Promise.all([loaded("grammar.json"), loaded("examples.json")])
const compiler = new Compiler(text => (at("state").textContent = text))
const editor = new Editor(document.querySelector(".editor"), new Colours(grammar), {
  hover: position => compiler.ask("hover", file, text(), position),
  complete: position => compiler.ask("complete", file, text(), position),
})
let file = Object.keys(examples)[0]
let waiting
let checking = false

const note = told => (at("note").textContent = told)
const text = () => editor.text.toWellFormed()

// Put the text into the page's address.
async function remember() {
  const [name, content] = [file, text()]
  const link = await packed(name, content, examples[name])
  if (file === name && text() === content) history.replaceState(null, "", "#" + link)
}

// --- checking ---------------------------------------------------------------------------------------------

// Check the text, and then the one that it has become meanwhile.
async function check() {
  if (checking) return
  checking = true
  const asked = { file, text: text() }
  const current = () => asked.file === file && asked.text === text()
  try {
    if (asked.text.length > LONGEST)
      throw new Error(`a text of ${count(asked.text.length)} characters is too long for a browser: use 'lnetc check'`)
    const answer = await compiler.ask("check", asked.file, asked.text)
    if (current()) {
      alarm("")
      show(answer)
      await remember()
    }
  } catch (error) {
    if (current()) {
      alarm(error.message)
      show({ diagnostics: [], network: null })
      at("diagnostics").replaceChildren()
    }
  }
  checking = false
  if (current()) at("diagnostics").ariaBusy = "false"
  else check()
}

function show({ diagnostics, network }) {
  editor.mark(diagnostics.filter(each => "start" in each))
  at("diagnostics").replaceChildren(...(diagnostics.length ? diagnostics.map(told) : [made("p", `${file}: fine`)]))
  if (network) {
    at("summary").textContent = network.summary
    at("diagram").innerHTML = network.diagram
    at("table").innerHTML = network.table
  }
  stale(!network)
}

function told({ text, severity, start, end }) {
  const lines = text.split("\n").map(line => made("span", line))
  for (const line of lines) line.className = /^ *\d* [|:]/.test(line.textContent) ? "excerpt" : ""
  const element = made("pre", "", ...lines)
  element.className = severity
  if (start !== undefined) {
    element.tabIndex = 0
    element.title = "go to this place"
    element.onclick = () => editor.select(start, end)
    element.onkeydown = event => event.key === "Enter" && editor.select(start, end)
  }
  return element
}

// Say whether the network that is shown is that of an earlier text.
function stale(is) {
  const shown = at("table").childElementCount > 0
  at("network").hidden = !shown
  at("network").classList.toggle("stale", is)
  at("earlier").hidden = !is
}

// --- texts ------------------------------------------------------------------------------------------------

function open(name, content) {
  file = name
  at("example").value = content === examples[name] ? name : ""
  editor.replace(content)
  check()
}

async function openLink() {
  try {
    const found = await unpacked(location.hash.slice(1), 4 * LONGEST)
    const content = found.text ?? examples[found.file ?? file]
    if (content === undefined) throw new Error(`there is no example '${found.file}'`)
    open(found.file ?? file, content)
  } catch (error) {
    open(file, examples[file])
    note(`the link cannot be read: ${error.message}; this is an example`)
  }
}

at("text").addEventListener("input", () => {
  note("")
  at("diagnostics").ariaBusy = "true"
  if (text() !== examples[file]) at("example").value = ""
  clearTimeout(waiting)
  waiting = setTimeout(check, PAUSE)
})
at("example").append(
  ...Object.keys(examples).map(name => Object.assign(made("option", name.replace("examples/", "")), { value: name })),
)
at("example").addEventListener("change", async event => {
  const name = event.target.value
  await remember()
  history.pushState(null, "", location.href) // the way back to the text that was here
  open(name, examples[name])
})
at("format").addEventListener("click", async () => {
  const before = text()
  const after = await compiler.ask("layout", file, before)
  if (after === null) note("a text with syntax errors cannot be formatted")
  else if (after !== before && before === text()) editor.replace(after, true)
})
at("copy").addEventListener("click", async () => {
  await remember()
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false)
  note(copied ? "the link is copied: it holds the text" : "the address of this page is the link: it holds the text")
})
addEventListener("hashchange", openLink)
await openLink()
