// Device memory as core holds it: a piece of the heap. Computes nothing.
import { byteSize, DeviceError, DisposedError, type Storage, type View } from "@rondo/backend"

/** The handle that core holds. Its address is -1 once it is freed. */
export class WasmStorage implements Storage {
  readonly bytes: number
  /** Where its bytes start in the memory of the device it belongs to. */
  address: number
  /** The device's own mark: storages of two devices must not be mixed. */
  readonly home: object
  constructor(bytes: number, address: number, home: object) {
    this.bytes = bytes
    this.address = address
    this.home = home
  }
}

/** The storage itself if it is a live one of the device `home`; otherwise a typed error. */
export function liveStorage(storage: Storage, home: object): WasmStorage {
  if (!(storage instanceof WasmStorage) || storage.home !== home) {
    throw new DeviceError("wasm-simd: storage belongs to another device; move the tensor first")
  }
  if (storage.address < 0) throw new DisposedError("wasm-simd: storage was freed before this use")
  return storage
}

/** The address of a view's first element. `run` has checked that the storage is alive. */
export const addressOf = (view: View): number =>
  (view.storage as WasmStorage).address + view.offset * byteSize(view.dtype)
