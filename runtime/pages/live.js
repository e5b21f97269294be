// What live pages have in common: numbers as text, tiles, tables, the line on what is wrong.
"use strict"
const count = number => number.toLocaleString("en")
const fixed = number => number === null ? "-" : number.toFixed(1)
const share = number => Math.round(100 * number) + "%"

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"]
  let unit = 0
  for (; bytes >= 1024 && unit < 3; unit++) bytes /= 1024
  return (unit < 3 ? bytes.toFixed(0) : bytes.toFixed(1)) + " " + units[unit]
}

function clock(seconds) {
  const whole = Math.round(seconds), two = number => String(number).padStart(2, "0")
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`
}

function made(tag, text, ...inside) {
  const element = document.createElement(tag)
  element.textContent = text
  element.append(...inside)
  return element
}

function tiles(figures) {
  return figures.map(([figure, what]) => made("div", "", made("b", figure), made("span", what)))
}

function fill(id, rows, note = "") {
  const table = document.querySelector("#" + id)
  table.tBodies[0].replaceChildren(...rows.map(cells => made("tr", "", ...cells.map(cell => made("td", cell)))))
  table.closest("section").querySelector(".note").textContent = note
}

function alarm(text) {
  document.querySelector("#alarm").textContent = text
}
