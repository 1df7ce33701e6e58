#ifndef HOLDFAST_TRANSPORT_ALLOCATOR_H_
#define HOLDFAST_TRANSPORT_ALLOCATOR_H_

namespace holdfast {

// For a process that does nothing but this project's work: freed memory is kept
// for what comes next, up to some 64 MiB, rather than given back to the kernel
// each time. Buffers of hundreds of KiB come and go all the time, and to have
// their pages mapped and cleared anew costs more than all that is done with
// them. Before there are threads.
void KeepFreedMemory();

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_ALLOCATOR_H_
