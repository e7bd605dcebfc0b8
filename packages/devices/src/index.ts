export {
  type ContainerEdits,
  type DeviceHook,
  type DeviceMount,
  type DeviceNode,
  noEdits,
} from "./container-edits.ts";
export { DeviceGrants, isDeviceEntitlement } from "./device-grants.ts";
export { type Device, DeviceRegistry, type DeviceRegistryOptions, type DeviceRequest } from "./device-registry.ts";
