// Errors of the page itself, files that cannot be loaded included: each is shown, none is silent.
"use strict"
addEventListener("error", event => alarm(event.message || `${event.target.src || event.target.href} cannot be loaded`), true)
addEventListener("unhandledrejection", event => alarm(String(event.reason?.message ?? event.reason)))
