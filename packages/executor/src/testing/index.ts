export { type Script, type ScriptContext, ScriptedExecutor } from "./scripted-executor.ts";
