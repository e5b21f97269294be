// The compiler in a thread of its own: starts Python, then answers questions by the functions of answers.py.
import { loadPyodide } from "./pyodide/pyodide.mjs"

const answers = start()

async function start() {
  postMessage({ loading: "1 of 3: Python" })
  const python = await loadPyodide()
  postMessage({ loading: "2 of 3: the compiler" })
  const packed = await fetch(new URL("lnet.zip", import.meta.url))
  if (!packed.ok) throw new Error(`lnet.zip cannot be loaded: ${packed.status} ${packed.statusText}`)
  python.unpackArchive(await packed.arrayBuffer(), "zip", { extractDir: "/lnet" })
  postMessage({ loading: "3 of 3: the compiler starts" })
  python.runPython("import os, sys; os.chdir('/lnet'); sys.path.insert(0, '/lnet')")
  const module = python.pyimport("answers")
  postMessage({ ready: true })
  return module
}

answers.catch(error => postMessage({ broken: String(error) }))

onmessage = async ({ data: { question, given } }) => {
  const module = await answers
  try {
    postMessage({ answer: JSON.parse(module[question](...given)) })
  } catch (error) {
    postMessage({ failed: String(error) })
  }
}
