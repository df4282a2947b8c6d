//! Groups that rule over others: RBAC, admission, API extension, certificates, storage.

use super::{Resource, Row, kinds, rows};

pub(super) const KINDS: &[Resource] = kinds! {
    "rbac.authorization.k8s.io" Namespaced: "roles" "Role", "rolebindings" "RoleBinding";
    "rbac.authorization.k8s.io" Cluster: "clusterroles" "ClusterRole", "clusterrolebindings" "ClusterRoleBinding";
    "admissionregistration.k8s.io" Cluster:
        "mutatingadmissionpolicies" "MutatingAdmissionPolicy", "mutatingadmissionpolicybindings" "MutatingAdmissionPolicyBinding",
        "mutatingwebhookconfigurations" "MutatingWebhookConfiguration", "validatingadmissionpolicies" "ValidatingAdmissionPolicy",
        "validatingadmissionpolicybindings" "ValidatingAdmissionPolicyBinding",
        "validatingwebhookconfigurations" "ValidatingWebhookConfiguration";
    "apiextensions.k8s.io" Cluster: "customresourcedefinitions" "CustomResourceDefinition";
    "apiregistration.k8s.io" Cluster: "apiservices" "APIService";
    "authentication.k8s.io" Cluster: "selfsubjectreviews" "SelfSubjectReview", "tokenreviews" "TokenReview";
    "authorization.k8s.io" Namespaced: "localsubjectaccessreviews" "LocalSubjectAccessReview";
    "authorization.k8s.io" Cluster:
        "selfsubjectaccessreviews" "SelfSubjectAccessReview", "selfsubjectrulesreviews" "SelfSubjectRulesReview",
        "subjectaccessreviews" "SubjectAccessReview";
    "certificates.k8s.io" Namespaced: "podcertificaterequests" "PodCertificateRequest";
    "certificates.k8s.io" Cluster:
        "certificatesigningrequests" "CertificateSigningRequest", "clustertrustbundles" "ClusterTrustBundle";
    "flowcontrol.apiserver.k8s.io" Cluster: "flowschemas" "FlowSchema", "prioritylevelconfigurations" "PriorityLevelConfiguration";
    "internal.apiserver.k8s.io" Cluster: "storageversions" "StorageVersion";
    "node.k8s.io" Cluster: "runtimeclasses" "RuntimeClass";
    "storage.k8s.io" Namespaced: "csistoragecapacities" "CSIStorageCapacity";
    "storage.k8s.io" Cluster:
        "csidrivers" "CSIDriver", "csinodes" "CSINode", "storageclasses" "StorageClass", "volumeattachments" "VolumeAttachment",
        "volumeattributesclasses" "VolumeAttributesClass";
    "storagemigration.k8s.io" Cluster: "storageversionmigrations" "StorageVersionMigration";
    "metrics.k8s.io" Namespaced: "pods" "PodMetrics";
    "metrics.k8s.io" Cluster: "nodes" "NodeMetrics";
};

pub(super) const RBAC: &[Row] = rows! { "rbac.authorization.k8s.io";
    "clusterrolebindings" read 10 "reads who has which rights";
    "clusterrolebindings" put 95 "gives rights in the whole cluster";
    "clusterrolebindings" delete 75 "takes rights in the whole cluster";
    "clusterrolebindings" purge 90 "takes rights in the whole cluster";
    "clusterroles" read 10 "reads roles";
    "clusterroles" put 90 "changes what a role means in the whole cluster";
    "clusterroles" delete 75 "deletes a role of the whole cluster";
    "clusterroles" purge 90 "deletes roles of the whole cluster";
    "rolebindings" read 10 "reads who has which rights";
    "rolebindings" put 75 "gives rights in a namespace";
    "rolebindings" delete 60 "takes rights in a namespace";
    "rolebindings" purge 80 "takes rights in a namespace";
    "roles" read 10 "reads roles";
    "roles" put 70 "changes what a role means in a namespace";
    "roles" delete 60 "deletes a role";
    "roles" purge 80 "deletes roles";
};

pub(super) const ADMISSION: &[Row] = rows! { "admissionregistration.k8s.io";
    "mutatingadmissionpolicies" read 10 "reads admission policies";
    "mutatingadmissionpolicies" put 95 "changes every object on its way in";
    "mutatingadmissionpolicies" remove 95 "lifts an admission policy";
    "mutatingadmissionpolicybindings" read 10 "reads admission policy bindings";
    "mutatingadmissionpolicybindings" put 95 "changes which objects are changed on their way in";
    "mutatingadmissionpolicybindings" remove 95 "lifts an admission policy";
    "mutatingwebhookconfigurations" read 10 "reads admission webhooks";
    "mutatingwebhookconfigurations" put 95 "sees and changes every object on its way in";
    "mutatingwebhookconfigurations" remove 95 "lifts an admission webhook";
    "validatingadmissionpolicies" read 10 "reads admission policies";
    "validatingadmissionpolicies" put 95 "decides which objects are let in";
    "validatingadmissionpolicies" remove 95 "lifts an admission policy";
    "validatingadmissionpolicies/status" get 5 "reads an admission policy's status";
    "validatingadmissionpolicies/status" change 60 "writes an admission policy's status";
    "validatingadmissionpolicybindings" read 10 "reads admission policy bindings";
    "validatingadmissionpolicybindings" put 95 "decides which objects an admission policy sees";
    "validatingadmissionpolicybindings" remove 95 "lifts an admission policy";
    "validatingwebhookconfigurations" read 10 "reads admission webhooks";
    "validatingwebhookconfigurations" put 95 "sees every object on its way in";
    "validatingwebhookconfigurations" remove 95 "lifts an admission webhook";
};

pub(super) const EXTENSIONS: &[Row] = rows! { "apiextensions.k8s.io";
    "customresourcedefinitions" read 5 "reads custom resource definitions";
    "customresourcedefinitions" put 65 "changes what custom resources the cluster has";
    "customresourcedefinitions" delete 90 "deletes a custom resource definition and all its objects";
    "customresourcedefinitions" purge 95 "deletes custom resource definitions and all their objects";
    "customresourcedefinitions/status" get 5 "reads a custom resource definition's status";
    "customresourcedefinitions/status" change 65 "writes a custom resource definition's status";
};

pub(super) const REGISTRATION: &[Row] = rows! { "apiregistration.k8s.io";
    "apiservices" read 5 "reads aggregated APIs";
    "apiservices" put 95 "sends a whole API group, with its users' names, to another server";
    "apiservices" delete 90 "takes an API group away";
    "apiservices" purge 95 "takes API groups away";
    "apiservices/status" get 5 "reads an aggregated API's status";
    "apiservices/status" change 60 "writes an aggregated API's status";
};

pub(super) const AUTHENTICATION: &[Row] = rows! { "authentication.k8s.io";
    "selfsubjectreviews" create 0 "asks who it is";
    "tokenreviews" create 15 "asks whose a token is";
};

pub(super) const AUTHORIZATION: &[Row] = rows! { "authorization.k8s.io";
    "localsubjectaccessreviews" create 0 "asks what somebody may do in a namespace";
    "selfsubjectaccessreviews" create 0 "asks what it may do";
    "selfsubjectrulesreviews" create 0 "asks what it may do";
    "subjectaccessreviews" create 15 "asks what somebody may do";
};

pub(super) const CERTIFICATES: &[Row] = rows! { "certificates.k8s.io";
    "certificatesigningrequests" read 5 "reads certificate requests";
    "certificatesigningrequests" create 30 "asks for a certificate, which waits for an approval in the cluster";
    "certificatesigningrequests" change 40 "changes a certificate request";
    "certificatesigningrequests" delete 30 "deletes a certificate request";
    "certificatesigningrequests" purge 70 "deletes certificate requests";
    "certificatesigningrequests/approval" get 5 "reads a certificate request's approval";
    "certificatesigningrequests/approval" change 95 "approves a client certificate, for any name";
    "certificatesigningrequests/status" get 5 "reads a certificate request's status";
    "certificatesigningrequests/status" change 95 "issues a certificate";
    "clustertrustbundles" read 5 "reads trust anchors";
    "clustertrustbundles" put 85 "changes whom workloads trust";
    "clustertrustbundles" delete 85 "deletes trust anchors";
    "clustertrustbundles" purge 90 "deletes trust anchors";
    "podcertificaterequests" read 5 "reads pods' certificate requests";
    "podcertificaterequests" create 50 "asks for a certificate in a pod's name";
    "podcertificaterequests" change 50 "changes a pod's certificate request";
    "podcertificaterequests" delete 40 "deletes a pod's certificate request";
    "podcertificaterequests" purge 70 "deletes pods' certificate requests";
    "podcertificaterequests/status" get 5 "reads a pod's certificate";
    "podcertificaterequests/status" change 95 "issues a pod's certificate";
};

pub(super) const FLOWCONTROL: &[Row] = rows! { "flowcontrol.apiserver.k8s.io";
    "flowschemas" read 5 "reads request priorities";
    "flowschemas" put 70 "changes whose requests wait";
    "flowschemas" delete 70 "changes whose requests wait";
    "flowschemas" purge 80 "changes whose requests wait";
    "flowschemas/status" get 5 "reads a request priority's status";
    "flowschemas/status" change 50 "writes a request priority's status";
    "prioritylevelconfigurations" read 5 "reads request priorities";
    "prioritylevelconfigurations" put 70 "changes how many requests may run";
    "prioritylevelconfigurations" delete 70 "changes how many requests may run";
    "prioritylevelconfigurations" purge 80 "changes how many requests may run";
    "prioritylevelconfigurations/status" get 5 "reads a request priority's status";
    "prioritylevelconfigurations/status" change 50 "writes a request priority's status";
};

pub(super) const INTERNAL: &[Row] = rows! { "internal.apiserver.k8s.io";
    "storageversions" read 5 "reads storage versions";
    "storageversions" put 80 "writes what the API server knows of its own storage";
    "storageversions" remove 90 "deletes what the API server knows of its own storage";
    "storageversions/status" get 5 "reads a storage version's status";
    "storageversions/status" change 80 "writes what the API server knows of its own storage";
};

pub(super) const NODE: &[Row] = rows! { "node.k8s.io";
    "runtimeclasses" read 5 "reads runtime classes";
    "runtimeclasses" put 60 "chooses the program that runs containers";
    "runtimeclasses" delete 60 "deletes a runtime class";
    "runtimeclasses" purge 70 "deletes runtime classes";
};

pub(super) const STORAGE: &[Row] = rows! { "storage.k8s.io";
    "csidrivers" read 5 "reads storage drivers";
    "csidrivers" put 80 "changes a driver that runs on nodes and gets pods' tokens";
    "csidrivers" delete 80 "deletes a storage driver";
    "csidrivers" purge 90 "deletes storage drivers";
    "csinodes" read 5 "reads nodes' storage drivers";
    "csinodes" put 80 "changes a node's storage drivers";
    "csinodes" delete 80 "deletes a node's storage drivers";
    "csinodes" purge 90 "deletes nodes' storage drivers";
    "csistoragecapacities" read 5 "reads storage capacities";
    "csistoragecapacities" put 40 "writes how much storage there is";
    "csistoragecapacities" delete 40 "deletes how much storage there is";
    "csistoragecapacities" purge 70 "deletes how much storage there is";
    "storageclasses" read 5 "reads storage classes";
    "storageclasses" put 60 "changes how volumes are made and whether their data survives";
    "storageclasses" delete 60 "deletes a storage class";
    "storageclasses" purge 75 "deletes storage classes";
    "volumeattachments" read 5 "reads volume attachments";
    "volumeattachments" put 75 "attaches a volume to a node";
    "volumeattachments" delete 75 "detaches a volume from a node";
    "volumeattachments" purge 90 "detaches volumes from nodes";
    "volumeattachments/status" get 5 "reads a volume attachment's status";
    "volumeattachments/status" change 60 "writes a volume attachment's status";
    "volumeattributesclasses" read 5 "reads volume attribute classes";
    "volumeattributesclasses" put 50 "changes the attributes of volumes";
    "volumeattributesclasses" delete 50 "deletes a volume attribute class";
    "volumeattributesclasses" purge 70 "deletes volume attribute classes";
};

pub(super) const MIGRATION: &[Row] = rows! { "storagemigration.k8s.io";
    "storageversionmigrations" read 5 "reads storage migrations";
    "storageversionmigrations" put 60 "rewrites every stored object of a resource";
    "storageversionmigrations" delete 45 "ends a storage migration";
    "storageversionmigrations" purge 70 "ends storage migrations";
    "storageversionmigrations/status" get 5 "reads a storage migration's status";
    "storageversionmigrations/status" change 60 "writes a storage migration's status";
};

pub(super) const METRICS: &[Row] = rows! { "metrics.k8s.io";
    "nodes" read 5 "reads nodes' use of resources";
    "pods" read 5 "reads pods' use of resources";
};
