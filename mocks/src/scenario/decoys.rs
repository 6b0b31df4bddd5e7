//! What looks like an attack and is none. The noise makes it; here it has its names.

use provost_model::{Entity, EntityKind};

use super::browsing::{BRANCH_NAME, CDN_NAME, RMM_NAME};
use super::label::Decoy;
use super::provisioning::PIPELINE_ADDRESS;
use super::tenant::{NAT, PIPELINE_APP, PIPELINE_ROLE, Tenant, VPN};

/// All of them.
pub(crate) fn all(tenant: &Tenant) -> Vec<Decoy> {
    let account = &tenant.accounts[0].id;
    let role = format!("arn:aws:iam::{account}:role/{PIPELINE_ROLE}");
    let decoy = |name, description, entities: Vec<(EntityKind, String)>| Decoy {
        name,
        description,
        entities: entities.into_iter().filter_map(|(kind, value)| Entity::new(kind, &value)).collect(),
    };
    vec![
        decoy(
            "pipeline-burst",
            "The approved pipeline starts and stops a dozen servers with addresses within half an hour, every working day.",
            vec![(EntityKind::Principal, role), (EntityKind::Ip, PIPELINE_ADDRESS.to_owned())],
        ),
        decoy(
            "azure-pipeline",
            "The approved pipeline renews machines and public addresses in Azure each morning.",
            vec![
                (EntityKind::Principal, tenant.pipeline_object_id.clone()),
                (EntityKind::Principal, PIPELINE_APP.to_owned()),
            ],
        ),
        decoy(
            "scaling",
            "A scaling group grows in the morning and shrinks in the evening.",
            vec![(
                EntityKind::Principal,
                format!("arn:aws:iam::{account}:role/AWSServiceRoleForAutoScaling"),
            )],
        ),
        decoy(
            "remote-management",
            "The remote management agent talks by a timer on a part of the devices, servers included.",
            vec![(EntityKind::Domain, RMM_NAME.to_owned())],
        ),
        decoy(
            "branch-vpn",
            "The branch office's gateway has a dynamic name.",
            vec![(EntityKind::Domain, BRANCH_NAME.to_owned())],
        ),
        decoy(
            "content-network",
            "A content network answers from two dozen addresses, to browsers, all of one network.",
            vec![(EntityKind::Domain, CDN_NAME.to_owned())],
        ),
        decoy(
            "mistyped-passwords",
            "Somebody mistypes a password five times on the VPN and then gets in, from the usual place, every evening.",
            vec![(EntityKind::Ip, VPN.to_string())],
        ),
        decoy("shared-address", "Everybody comes from one address.", vec![(EntityKind::Ip, NAT.to_string())]),
        decoy(
            "monthly-fee",
            "The support fee is charged on the first of each month.",
            vec![(EntityKind::Account, account.clone())],
        ),
    ]
}
