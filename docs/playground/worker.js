// The compiler in a thread of its own: starts Python, then answers questions by the functions of answers.py.
import { loadPyodide } from "./pyodide/pyodide.mjs"

const fetched = self.fetch
let bytes = 0

// Say how much has come, and what cannot be fetched: Pyodide would wait for it for ever.
self.fetch = async (...asked) => {
  const found = await fetched(...asked)
  if (!found.ok) fail(new Error(`${new URL(found.url).pathname} cannot be loaded: ${found.status} ${found.statusText}`))
  const counted = new TransformStream({
    transform(part, to) {
      bytes += part.length
      postMessage({ loading: `loading: ${(bytes / 1e6).toFixed(1)} MB` })
      to.enqueue(part)
    },
  })
  found.body.pipeTo(counted.writable).catch(fail)
  return new Response(counted.readable, found)
}

const fail = error => postMessage({ broken: error.message })
const answers = start()
answers.catch(fail)

async function start() {
  const [python, packed] = await Promise.all([loadPyodide(), fetch(new URL("lnet.zip", import.meta.url))])
  python.unpackArchive(await packed.arrayBuffer(), "zip", { extractDir: "/lnet" })
  postMessage({ loading: "the compiler starts" })
  python.runPython("import os, sys; os.chdir('/lnet'); sys.path.insert(0, '/lnet')")
  const module = python.pyimport("answers")
  postMessage({ ready: true })
  return module
}

onmessage = async ({ data: { question, given } }) => {
  const module = await answers
  try {
    postMessage({ answer: JSON.parse(module[question](...given)) })
  } catch (error) {
    postMessage({ failed: error.message })
  }
}
