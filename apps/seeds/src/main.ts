// Where `npm start` begins: hands the command line to the app and passes its exit code on.
import { run } from "./app.js"

process.exitCode = await run(process.argv.slice(2))
