// Starts `lnetc lsp` and hands it the .lnet files that are open.

const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function activate() {
    const [command, ...args] = workspace.getConfiguration("lnet").get("command");
    const files = { documentSelector: [{ language: "lnet" }] };
    client = new LanguageClient("lnet", "lnet", { command, args }, files);
    return client.start();
}

function deactivate() {
    return client?.stop();
}

module.exports = { activate, deactivate };
